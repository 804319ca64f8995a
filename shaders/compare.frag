#version 330 core
// A pane of the compare view: the first clip, the second, both along a wipe line, or their difference.
// Colours come from resources/theme/tokens.json; the same arithmetic is views::difference_value(), which a test holds.
uniform vec4 pane;
uniform sampler2DArray first, second;
uniform float first_frame, second_frame;
uniform vec2 image_size;
uniform vec2 centre;       // image px in the middle of the pane
uniform float scale;       // device px per image px
uniform int has_first, has_second;
uniform int content;       // 0 first, 1 second, 2 wipe, 3 difference
uniform float wipe;        // 0..1 of the pane
uniform int horizontal;
uniform int difference_mode;  // 0 signed, 1 absolute, 2 root, 3 logarithmic
uniform float range;
uniform vec3 background, negative, zero, positive;
in vec2 view_px;
out vec4 colour;

vec3 look(sampler2DArray clip, float frame, vec2 image) {
  // Single pixels are for reading: from 4 device px each they are squares, not a blur.
  if (scale >= 4.0) return texelFetch(clip, ivec3(ivec2(floor(image)), int(frame)), 0).rgb;
  return texture(clip, vec3(image / image_size, frame)).rgb;
}

vec3 difference(vec3 a, vec3 b) {
  vec3 scaled = (b - a) / range;
  if (difference_mode == 0) {
    float mean = clamp((scaled.r + scaled.g + scaled.b) / 3.0, -1.0, 1.0);
    return mean < 0.0 ? mix(zero, negative, -mean) : mix(zero, positive, mean);
  }
  vec3 size = min(abs(scaled), 1.0);
  if (difference_mode == 2) return sqrt(size);
  if (difference_mode == 3) return clamp(log(max(size, 1e-3)) / log(1e3) + 1.0, 0.0, 1.0);
  return size;
}

void main() {
  vec2 middle = pane.xy + pane.zw * 0.5;
  vec2 image = centre + (view_px - middle) / scale;
  if (any(lessThan(image, vec2(0.0))) || any(greaterThanEqual(image, image_size))) {
    colour = vec4(background, 1.0);
    return;
  }
  vec2 at = (view_px - pane.xy) / pane.zw;
  bool before = (horizontal != 0 ? at.y : at.x) < wipe;
  bool wants_first = content == 0 || content == 3 || (content == 2 && before);
  bool wants_second = content == 1 || content == 3 || (content == 2 && !before);
  if ((wants_first && has_first == 0) || (wants_second && has_second == 0)) {
    colour = vec4(background, 1.0);
    return;
  }
  if (content == 0) {
    colour = vec4(look(first, first_frame, image), 1.0);
  } else if (content == 1) {
    colour = vec4(look(second, second_frame, image), 1.0);
  } else if (content == 2) {
    colour = vec4(before ? look(first, first_frame, image) : look(second, second_frame, image), 1.0);
  } else {
    colour = vec4(difference(look(first, first_frame, image), look(second, second_frame, image)), 1.0);
  }
}
