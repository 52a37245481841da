/** The file of a pipeline `camera`, whose frames go to the workers. */
export const camera = (fps) => `
schema = 1
name = "camera"
kind = "source"
summary = "A test picture"
[pipeline]
launch = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=${fps}/1 ! jpegenc ! redisstreamsink"
`;
