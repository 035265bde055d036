// Package page is a web page of a hundred objects, and a real browser that loads it and says by which protocol each object
// came. It is for tests of what browsers do with Skein in each version of HTTP.
package page

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"skein/test/harness"
)

// Objects is how many objects the page has.
const Objects = 100

// Origin serves the page and its objects, and returns its address.
func Origin(t testing.TB) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(serve))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	return srv.Listener.Addr().String()
}

// serve answers "/" with a page whose script fetches all objects at once, and everything else with an object.
func serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, strings.Repeat(r.URL.Path+" ", 200))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!doctype html><title>loading</title><script>
performance.setResourceTimingBufferSize(1000);
Promise.all([...Array(%d).keys()].map(i => fetch("/object/" + i).then(r => r.text()).then(b => {
  if (b !== ("/object/" + i + " ").repeat(200)) throw new Error("object " + i + " is wrong");
}))).then(() => { document.title = "done" }, e => { document.title = "failed: " + e });
</script>`, Objects)
}

// Loaded is what a browser says of the page.
type Loaded struct {
	Title     string
	Protocols map[string]int // objects, by the ALPN name of what they came by
}

// Load has a browser load https://addr/, whose certificate (PEM) it trusts. quic makes it use HTTP/3 without being told to by
// Alt-Svc first.
func Load(t testing.TB, addr string, cert []byte, quic bool) Loaded {
	t.Helper()
	block, _ := pem.Decode(cert)
	if block == nil {
		t.Fatal("no certificate")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	spki := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(harness.Need(t, "chromium", "chromium")), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(spki[:])),
	)
	if quic {
		opts = append(opts, chromedp.Flag("enable-quic", true), chromedp.Flag("origin-to-force-quic-on", addr))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("https://"+addr+"/")); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	title, err := chromedp.Run(ctx, chromedp.Poll[string](`document.title !== "loading" && document.title`))
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	all, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](
		`performance.getEntriesByType("resource").filter(e => e.name.includes("/object/")).map(e => e.nextHopProtocol)`))
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	l := Loaded{Title: title}
	l.Protocols = map[string]int{}
	for _, p := range all {
		l.Protocols[p]++
	}
	return l
}
