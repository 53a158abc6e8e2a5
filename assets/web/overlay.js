// What the vehicle knows, drawn over its picture. Places are in pixels of the camera's own picture.

const NAMES = { person: "person", bicycle: "bicycle", car: "car", motorcycle: "motorcycle", bus: "bus", truck: "truck" };

// Nothing older than this is drawn: it is no longer there.
const OLDEST_S = 1.5;

// Red where there is little time, amber in the vehicle's path, else white.
function colour(object) {
  if (object.ttc_s !== null && object.ttc_s < 3 && object.in_path) return "#ff5c4d";
  return object.in_path ? "#ffc94d" : "#f4f7fa";
}

export function words(object, short) {
  if (short && object.distance_m !== null) return `${object.distance_m.toFixed(0)} m`;
  const parts = [NAMES[object.class] || "object"];
  if (object.distance_m !== null) parts.push(`${object.distance_m.toFixed(object.distance_m < 10 ? 1 : 0)} m`);
  const closing = object.closing_mps === null ? 0 : object.closing_mps * 3.6;
  if (Math.abs(closing) >= 2) parts.push(closing > 0 ? `nearing ${closing.toFixed(0)} km/h` : `leaving ${(-closing).toFixed(0)} km/h`);
  return parts.join(" · ");
}

// Draws a camera's report over a picture of `width` x `height` pixels. Where a box was drawn is left in `canvas.dataset.boxes`, for
// those who look at the page as a program: frame, left, top, width, height.
export function draw(canvas, { width, height }, camera, wanted) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const across = Math.round(canvas.clientWidth * ratio), down = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
  const ink = canvas.getContext("2d");
  ink.setTransform(1, 0, 0, 1, 0, 0);
  ink.clearRect(0, 0, across, down);
  if (!wanted || !camera || !camera.fresh || !width || !height || !across) {
    canvas.dataset.boxes = "[]";
    return;
  }
  // As `object-fit: contain` puts the picture.
  const scale = Math.min(across / width, down / height);
  const [left, top] = [(across - width * scale) / 2, (down - height * scale) / 2];
  const at = ([x, y]) => [left + x * scale, top + y * scale];
  ink.lineJoin = ink.lineCap = "round";
  if (camera.lane && !(camera.lane.age_s > OLDEST_S)) lane(ink, camera.lane, at, ratio);
  const boxes = [];
  // The nearest is drawn last, above the others.
  for (const object of [...camera.objects].reverse()) {
    if (object.age_s > OLDEST_S) continue;
    box(ink, object, at, scale, ratio, across);
    boxes.push([object.frame, ...object.box_px]);
  }
  canvas.dataset.boxes = JSON.stringify(boxes);
  canvas.dataset.place = JSON.stringify([left, top, scale]);
}

function lane(ink, found, at, ratio) {
  const lines = [found.left, found.right].map(line => line.map(at));
  if (lines[0].length > 1 && lines[1].length > 1) {
    ink.fillStyle = "rgba(76, 201, 189, 0.20)";
    ink.beginPath();
    [...lines[0], ...lines[1].toReversed()].forEach(([x, y], n) => (n ? ink.lineTo(x, y) : ink.moveTo(x, y)));
    ink.closePath();
    ink.fill();
  }
  for (const line of lines) {
    if (line.length < 2) continue;
    for (const [style, wide] of [["rgba(5, 7, 10, 0.55)", 5.5], [`rgba(76, 201, 189, ${(0.45 + 0.55 * found.confidence).toFixed(2)})`, 3]]) {
      ink.strokeStyle = style;
      ink.lineWidth = wide * ratio;
      ink.beginPath();
      line.forEach(([x, y], n) => (n ? ink.lineTo(x, y) : ink.moveTo(x, y)));
      ink.stroke();
    }
  }
}

function box(ink, object, at, scale, ratio, across) {
  const [x, y] = at(object.box_px), w = object.box_px[2] * scale, h = object.box_px[3] * scale;
  const of = colour(object);
  for (const [style, wide] of [["rgba(5, 7, 10, 0.6)", 4.5], [of, 2]]) {
    ink.strokeStyle = style;
    ink.lineWidth = wide * ratio;
    ink.strokeRect(x, y, w, h);
  }
  const text = words(object, across < 520 * ratio), size = 12.5 * ratio;
  ink.font = `600 ${size}px system-ui, sans-serif`;
  const wide = ink.measureText(text).width + 10 * ratio, tall = size + 7 * ratio;
  const from = Math.max(0, Math.min(x - ratio, across - wide));
  const above = y - tall - 2 * ratio >= 0 ? y - tall - 2 * ratio : y + h + 2 * ratio;
  ink.fillStyle = "rgba(5, 7, 10, 0.78)";
  ink.beginPath();
  ink.roundRect(from, above, wide, tall, 4 * ratio);
  ink.fill();
  ink.fillStyle = of;
  ink.textBaseline = "middle";
  ink.fillText(text, from + 5 * ratio, above + tall / 2 + 0.5 * ratio);
}
