#pragma once
#include <cstdint>
#include <string>
#include <utility>

#include "core/media/frames.h"

namespace ditscope::gl {

/// Owners of OpenGL objects: move-only; made, used and destroyed with the same context current. A destructor that runs without
/// one leaves the object to the context's own end.

/// Vertex and fragment shader, linked.
class Program {
 public:
  Program() = default;
  /// @throws Error{Device} with the driver's log
  Program(const std::string& vertex, const std::string& fragment);
  ~Program();
  Program(Program&& other) noexcept : id_(std::exchange(other.id_, 0)) {}
  Program& operator=(Program&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  void use() const;
  void set(const char* name, int value) const;
  void set(const char* name, float value) const;
  void set(const char* name, float x, float y) const;
  void set(const char* name, float x, float y, float z) const;
  void set(const char* name, float x, float y, float z, float w) const;
  explicit operator bool() const { return id_ != 0; }

 private:
  unsigned id_ = 0;
};

/// The frames of a clip, one layer a frame, uploaded once. 16-bit floats; 8 bits a channel where that would exceed 512 MB.
class FrameArray {
 public:
  FrameArray() = default;
  /// @throws Error{OutOfMemory, Unsupported} where the driver refuses the size
  explicit FrameArray(const Frames& frames);
  ~FrameArray();
  FrameArray(FrameArray&& other) noexcept
      : id_(std::exchange(other.id_, 0)), count_(other.count_), width_(other.width_), height_(other.height_) {}
  FrameArray& operator=(FrameArray&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(count_, other.count_);
    std::swap(width_, other.width_);
    std::swap(height_, other.height_);
    return *this;
  }
  void bind(int unit) const;
  int count() const { return count_; }
  int width() const { return width_; }
  int height() const { return height_; }
  explicit operator bool() const { return id_ != 0; }

 private:
  unsigned id_ = 0;
  int count_ = 0, width_ = 0, height_ = 0;
};

/// A flat picture: colours with alpha, or coverage (8 bits that read as white of that alpha).
class Texture {
 public:
  enum class Kind { Colours, Coverage };
  Texture() = default;
  /// Empty; a side is cut to what the driver takes.
  static Texture create(Kind kind, int width, int height, bool smooth);
  ~Texture();
  Texture(Texture&& other) noexcept : id_(std::exchange(other.id_, 0)), kind_(other.kind_), width_(other.width_), height_(other.height_) {}
  Texture& operator=(Texture&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(kind_, other.kind_);
    std::swap(width_, other.width_);
    std::swap(height_, other.height_);
    return *this;
  }
  /// @param pixels  (Y,X,4) or (Y,X), rows without gaps
  void upload(int x, int y, int width, int height, const std::uint8_t* pixels) const;
  /// Smaller copies for a picture that is shown smaller than it is.
  void make_mipmaps() const;
  /// As Dear ImGui names a texture.
  void* imgui_id() const { return reinterpret_cast<void*>(static_cast<std::uintptr_t>(id_)); }
  int width() const { return width_; }
  int height() const { return height_; }
  explicit operator bool() const { return id_ != 0; }

 private:
  unsigned id_ = 0;
  Kind kind_ = Kind::Colours;
  int width_ = 0, height_ = 0;
};

/// A core context draws nothing without one; ours holds no buffers, the vertex shader makes the corners.
class VertexArray {
 public:
  VertexArray() = default;
  static VertexArray create();
  ~VertexArray();
  VertexArray(VertexArray&& other) noexcept : id_(std::exchange(other.id_, 0)) {}
  VertexArray& operator=(VertexArray&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  void draw_strip(int vertices) const;
  explicit operator bool() const { return id_ != 0; }

 private:
  unsigned id_ = 0;
};

/// "4.5 (Core Profile) Mesa 22.3.6, llvmpipe": of the current context.
std::string context_description();
/// Whether the current context draws without a GPU.
bool is_software_renderer();
void clear(float r, float g, float b);
void viewport(int width_px, int height_px);

}  // namespace ditscope::gl
