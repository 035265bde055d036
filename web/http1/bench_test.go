package http1

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

const smallHead = "GET /index.html?a=1 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nX-A: b\r\n\r\n"

const browserHead = "GET /products/shoes?page=2&sort=price HTTP/1.1\r\n" +
	"Host: shop.example.com\r\n" +
	"Connection: keep-alive\r\n" +
	"Cache-Control: max-age=0\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
	"Accept-Encoding: gzip, deflate, br\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n" +
	"Cookie: session=0123456789abcdef\r\n\r\n"

const answerHead = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Type: text/html; charset=utf-8\r\n" +
	"Content-Length: 5120\r\nConnection: keep-alive\r\nCache-Control: no-cache, private\r\nSet-Cookie: s=1; path=/; httponly\r\n\r\n"

func benchmarkRequest(b *testing.B, head string) {
	var r Request
	buf := []byte(head)
	lim := Limits{Target: 8192, Fields: 100}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := r.Parse(buf, lim); n != len(buf) || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkRequestSmall(b *testing.B)   { benchmarkRequest(b, smallHead) }
func BenchmarkRequestBrowser(b *testing.B) { benchmarkRequest(b, browserHead) }

// What the standard library takes for the same head.
func BenchmarkRequestBrowserNetHTTP(b *testing.B) {
	b.SetBytes(int64(len(browserHead)))
	b.ReportAllocs()
	in := strings.NewReader(browserHead)
	src := bufio.NewReader(in)
	for b.Loop() {
		in.Reset(browserHead)
		src.Reset(in)
		if _, err := http.ReadRequest(src); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResponse(b *testing.B) {
	var r Response
	buf := []byte(answerHead)
	lim := Limits{Fields: 100}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := r.Parse(buf, lim); n != len(buf) || err != nil {
			b.Fatal(n, err)
		}
	}
}
