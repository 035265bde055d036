package web

import (
	"mime"
	"strings"
)

// fileTypes is what a file's name says of its content. What is not here the system's own table (/etc/mime.types) may know.
func fileTypes() map[string][]byte {
	types := map[string][]byte{}
	for line := range strings.Lines(`
text/html; charset=utf-8                .html .htm .shtml
text/css; charset=utf-8                 .css
text/javascript; charset=utf-8          .js .mjs
text/plain; charset=utf-8               .txt .text .log .md
text/csv; charset=utf-8                 .csv
text/xml; charset=utf-8                 .xml .xsl
text/vtt; charset=utf-8                 .vtt
text/calendar; charset=utf-8            .ics
application/json                        .json .map
application/ld+json                     .jsonld
application/manifest+json               .webmanifest
application/rss+xml                     .rss
application/atom+xml                    .atom
application/wasm                        .wasm
application/pdf                         .pdf
application/zip                         .zip
application/gzip                        .gz .tgz
application/zstd                        .zst
application/x-xz                        .xz
application/x-bzip2                     .bz2
application/x-tar                       .tar
application/x-7z-compressed             .7z
application/vnd.rar                     .rar
application/msword                      .doc
application/vnd.ms-excel                .xls
application/vnd.ms-powerpoint           .ppt
application/vnd.openxmlformats-officedocument.wordprocessingml.document   .docx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet         .xlsx
application/vnd.openxmlformats-officedocument.presentationml.presentation .pptx
application/vnd.oasis.opendocument.text        .odt
application/vnd.oasis.opendocument.spreadsheet .ods
application/rtf                         .rtf
application/epub+zip                    .epub
application/java-archive                .jar
application/postscript                  .ps .eps .ai
application/vnd.apple.mpegurl           .m3u8
application/dash+xml                    .mpd
image/png                               .png .apng
image/jpeg                              .jpg .jpeg
image/gif                               .gif
image/webp                              .webp
image/avif                              .avif
image/svg+xml                           .svg
image/bmp                               .bmp
image/tiff                              .tif .tiff
image/heic                              .heic
image/x-icon                            .ico .cur
font/woff                               .woff
font/woff2                              .woff2
font/ttf                                .ttf
font/otf                                .otf
font/collection                         .ttc
application/vnd.ms-fontobject           .eot
audio/mpeg                              .mp3
audio/mp4                               .m4a
audio/ogg                               .ogg .oga .opus
audio/wav                               .wav
audio/flac                              .flac
audio/aac                               .aac
video/mp4                               .mp4 .m4v
video/webm                              .webm
video/ogg                               .ogv
video/mp2t                              .ts
video/quicktime                         .mov
video/x-msvideo                         .avi
video/x-matroska                        .mkv
`) {
		kind, endings, ok := strings.Cut(line, " .")
		if !ok {
			continue
		}
		for e := range strings.FieldsSeq("." + endings) {
			types[e] = []byte(strings.TrimSpace(kind))
		}
	}
	return types
}

// typeOf returns the media type of a file by its name.
func (f *files) typeOf(name []byte) []byte {
	var low [16]byte
	for i := len(name) - 1; i >= 0 && len(name)-i <= len(low) && name[i] != '/'; i-- {
		if name[i] != '.' {
			continue
		}
		n := copy(low[:], name[i:])
		for j := range n {
			if 'A' <= low[j] && low[j] <= 'Z' {
				low[j] += 'a' - 'A'
			}
		}
		if t := f.types[string(low[:n])]; t != nil {
			return t
		}
		if t := mime.TypeByExtension(string(low[:n])); t != "" {
			return []byte(t)
		}
		break
	}
	return f.types[""]
}
