package cert

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"skein/config"
)

// putCache tells when a session has come.
type putCache struct {
	tls.ClientSessionCache
	put chan struct{}
}

func (c putCache) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	c.put <- struct{}{}
}

// HTTP/3 uses the same Front: its own protocol, the same certificates and ticket keys.
func TestFrontOverQUIC(t *testing.T) {
	dir, ca := t.TempDir(), newTestCA(t, "ca")
	s, _ := newStore(t, Options{})
	load(t, s, sites(site(&config.Front{Certificates: []*config.TLS{ca.files(t, dir, "a", "p256", "a.test"), ca.files(t, dir, "b", "p256", "b.test")}}, "a.test", "b.test")))
	l, err := quic.ListenAddr("127.0.0.1:0", http3.ConfigureTLSConfig(s.Front(":443")), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			if _, err := l.Accept(context.Background()); err != nil {
				return
			}
		}
	}()
	client := anyone("b.test")
	client.NextProtos = []string{"h3"}
	tickets := putCache{tls.NewLRUClientSessionCache(1), make(chan struct{}, 10)}
	client.ClientSessionCache = tickets
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range 2 {
		c, err := quic.DialAddr(ctx, l.Addr().String(), client, nil)
		if err != nil {
			t.Fatalf("dial %d: %v", i, err)
		}
		state := c.ConnectionState().TLS
		if state.PeerCertificates[0].DNSNames[0] != "b.test" || state.NegotiatedProtocol != "h3" {
			t.Errorf("certificate for %v, protocol %q; want b.test and h3", state.PeerCertificates[0].DNSNames, state.NegotiatedProtocol)
		}
		if i == 1 && !state.DidResume {
			t.Error("a session does not go on over QUIC")
		}
		select { // the ticket comes after the handshake
		case <-tickets.put:
		case <-ctx.Done():
			t.Fatal("no session ticket came")
		}
		c.CloseWithError(0, "")
	}
}
