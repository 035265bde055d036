package https

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// sealer writes records of TLS 1.3 beside crypto/tls, which never updates its keys by itself. RFC 8446 section 5.2:
//
//	23 | 3 3 | length (16) | sealed (content, type of content)
type sealer struct {
	t      testing.TB
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// use takes a secret of this side's traffic (RFC 8446 section 7.3).
func (s *sealer) use(secret []byte) {
	s.t.Helper()
	block, err := aes.NewCipher(s.expand(secret, "key", 16))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		s.t.Fatal(err)
	}
	s.secret, s.iv, s.seq = secret, s.expand(secret, "iv", 12), 0
}

// expand is HKDF-Expand-Label without a context.
func (s *sealer) expand(secret []byte, label string, n int) []byte {
	s.t.Helper()
	label = "tls13 " + label
	b, err := hkdf.Expand(sha256.New, secret, string([]byte{byte(n >> 8), byte(n), byte(len(label))})+label+"\x00", n)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s *sealer) seal(kind byte, content string) []byte {
	nonce := bytes.Clone(s.iv)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], s.seq)
	for i, b := range n {
		nonce[4+i] ^= b
	}
	s.seq++
	size := len(content) + 1 + s.aead.Overhead()
	head := []byte{23, 3, 3, byte(size >> 8), byte(size)}
	return s.aead.Seal(head, nonce, append([]byte(content), kind), head)
}

// update is a KeyUpdate that asks for none in return, and uses the next keys from then on.
func (s *sealer) update() []byte {
	b := s.seal(22, "\x18\x00\x00\x01\x00")
	s.use(s.expand(s.secret, "traffic upd", 32))
	return b
}

// KeyUpdate without an end (RFC 8446 section 4.6.3) is work for nothing; crypto/tls bounds it. A few are right.
func TestKeyUpdates(t *testing.T) {
	t.Parallel()
	s := start(t, hello(t), "", "")
	for updates, good := range map[int]bool{0: true, 5: true, 1000: false} {
		var keys bytes.Buffer
		config := s.client()
		config.MinVersion, config.KeyLogWriter = tls.VersionTLS13, &keys
		v := dial(t, s.addr, config)
		if suite := v.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
			t.Skipf("this machine prefers %s", tls.CipherSuiteName(suite))
		}
		_, line, _ := strings.Cut(keys.String(), "CLIENT_TRAFFIC_SECRET_0 ")
		words := strings.Fields(line)
		if len(words) < 2 {
			t.Fatalf("key log = %q", keys.String())
		}
		secret, err := hex.DecodeString(words[1])
		if err != nil {
			t.Fatal(err)
		}
		w := &sealer{t: t}
		w.use(secret)
		var all []byte
		for range updates {
			all = append(all, w.update()...)
		}
		_, _ = v.tcp.Write(append(all, w.seal(23, get(host, "/"))...))
		a, err := v.try("GET")
		if ok := err == nil && a.StatusCode == 200 && a.body == "hello"; ok != good {
			t.Errorf("after %d key updates in a row: served %v (%v), want %v", updates, ok, err, good)
		}
		v.tcp.Close()
	}
	s.fine()
	s.Stop()
}
