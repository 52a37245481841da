//! What a client offers, what a pipeline answers, and what is trickled.

/// A browser's camera and microphone; `direction` is the video's.
pub(crate) fn offer(direction: &str) -> String {
    let session =
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n";
    let transport = format!(
        "c=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:EsAw\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n\
         a=ice-options:trickle\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\n",
        ["DA"; 32].join(":")
    );
    format!(
        "{session}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{transport}a=mid:0\r\na={direction}\r\n\
         a=rtpmap:111 opus/48000/2\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n{transport}a=mid:1\r\na={direction}\r\n\
         a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n"
    )
}

/// As a launcher's pipeline answers: with its candidates, in one bundle.
pub(crate) fn answer(direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 1\r\nm=audio 0 UDP/TLS/RTP/SAVPF 111\r\n\
         a=mid:0\r\na=inactive\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=mid:1\r\n\
         a={direction}\r\na=rtpmap:96 VP8/90000\r\na=candidate:1 1 UDP 2015363327 127.0.0.1 12000 typ host\r\n\
         a=end-of-candidates\r\n"
    )
}

/// A fragment of a client that offered [`offer`].
pub(crate) fn fragment(candidates: &[&str]) -> String {
    let lines: String = candidates
        .iter()
        .map(|candidate| format!("a={candidate}\r\n"))
        .collect();
    format!(
        "a=ice-ufrag:EsAw\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n{lines}"
    )
}
