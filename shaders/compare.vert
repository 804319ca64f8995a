#version 330 core
// One pane as a strip of four corners. `pane` is x, y, width, height in device px, y down.
uniform vec4 pane;
uniform vec2 view_size;
out vec2 view_px;

void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  view_px = pane.xy + corner * pane.zw;
  vec2 unit = view_px / view_size;
  gl_Position = vec4(unit.x * 2.0 - 1.0, 1.0 - unit.y * 2.0, 0.0, 1.0);
}
