import { SightlineSession } from './sightline.js';

const source = await navigator.mediaDevices.getUserMedia({ video: true });
const [video, canvas, output] = document.querySelectorAll('video, canvas, output');
video.srcObject = source;

const session = new SightlineSession(new URL('./', location.href), { source, video, params: { fps: 15 } });
session.addEventListener('state', ({ detail }) => (output.textContent = detail.problem?.message || detail.name));
session.addEventListener('detections', ({ detail: { detections } }) => {
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext('2d');
  context.strokeStyle = context.fillStyle = 'lime';
  for (const { label, score, box: [x, y, width, height] } of detections) {
    context.strokeRect(x * canvas.width, y * canvas.height, width * canvas.width, height * canvas.height);
    context.fillText(`${label} ${score.toFixed(2)}`, x * canvas.width + 4, y * canvas.height + 12);
  }
});
session.start();
