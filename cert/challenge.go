package cert

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// challengePath is where HTTP-01 looks (RFC 8555 section 8.3).
const challengePath = "/.well-known/acme-challenge/"

// challenges are those that this node has begun: what a CA asks about first.
type challenges struct {
	mu sync.Mutex
	of map[string]acme.Challenge // by storage key
}

func (c *challenges) put(key string, ch acme.Challenge) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]acme.Challenge{}
	}
	c.of[key] = ch
}

func (c *challenges) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, key)
}

func (c *challenges) get(key string) (acme.Challenge, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch, ok := c.of[key]
	return ch, ok
}

// solver answers HTTP-01 and TLS-ALPN-01. The listeners are there already, on every node: it only makes known what to say.
type solver struct {
	storage certmagic.Storage
	own     *challenges
}

func challengeKey(kind, name string) string {
	return path.Join("challenges", kind, certmagic.StorageKeys.Safe(name)+".json")
}

// Present implements [acmez.Solver].
func (s *solver) Present(ctx context.Context, ch acme.Challenge) error {
	key := challengeKey(ch.Type, ch.Identifier.Value)
	b, err := json.Marshal(ch)
	if err != nil {
		return fmt.Errorf("store challenge: %w", err)
	}
	s.own.put(key, ch)
	if err := s.storage.Store(ctx, key, b); err != nil {
		return fmt.Errorf("store challenge: %w", err)
	}
	return nil
}

// CleanUp implements [acmez.Solver]. What is over is cleaned up, even when all is ending.
func (s *solver) CleanUp(ctx context.Context, ch acme.Challenge) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	key := challengeKey(ch.Type, ch.Identifier.Value)
	s.own.drop(key)
	return s.storage.Delete(ctx, key)
}

var errNoChallenge = errors.New("cert: nobody has asked a CA to validate this name")

// challenge finds what a validation of name is about, begun by whichever node.
func (s *Store) challenge(ctx context.Context, kind, name string) (acme.Challenge, error) {
	name = strings.ToLower(name)
	live := s.live.Load()
	if live == nil || live.ca == nil || live.ca.client.ChallengeSolvers[kind] == nil {
		return acme.Challenge{}, errNoChallenge
	}
	key := challengeKey(kind, name)
	if ch, ok := s.challenges.get(key); ok {
		return ch, nil
	}
	if !live.wants(name) { // strangers do not make us ask the storage
		return acme.Challenge{}, errNoChallenge
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	select {
	case s.demand.reads <- struct{}{}:
		defer func() { <-s.demand.reads }()
	case <-ctx.Done():
		return acme.Challenge{}, errNoChallenge
	}
	b, err := live.ca.storage.Load(ctx, key)
	if err != nil {
		return acme.Challenge{}, errNoChallenge
	}
	var ch acme.Challenge
	if err := json.Unmarshal(b, &ch); err != nil {
		return acme.Challenge{}, fmt.Errorf("cert: stored challenge: %w", err)
	}
	return ch, nil
}

// Challenge answers HTTP-01 validations (RFC 8555 section 8.3) on every listener of plain text. host is the request's, with or
// without a port; ok is false for requests that are none of its business. A challenge of any node that shares the storage is
// answered.
func (s *Store) Challenge(host, path string) (body []byte, ok bool) {
	token, ok := strings.CutPrefix(path, challengePath)
	if !ok || token == "" || len(token) > 256 || strings.ContainsRune(token, '/') {
		return nil, false
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ch, err := s.challenge(context.Background(), acme.ChallengeTypeHTTP01, host)
	// The name must be the challenge's, and the token is not copied from the request: section 8.3 warns of both.
	if err != nil || ch.Token != token || !strings.EqualFold(ch.Identifier.Value, host) {
		return nil, false
	}
	s.log.Debug("validation was answered", "challenge", acme.ChallengeTypeHTTP01, "name", host)
	return []byte(ch.KeyAuthorization), true
}

// validationCertificate answers TLS-ALPN-01 (RFC 8737 section 3).
func (s *Store) validationCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	ch, err := s.challenge(hello.Context(), acme.ChallengeTypeTLSALPN01, hello.ServerName)
	if err != nil {
		return nil, err
	}
	c, err := acmez.TLSALPN01ChallengeCert(ch)
	if err != nil {
		return nil, fmt.Errorf("cert: make validation certificate: %w", err)
	}
	s.log.Debug("validation was answered", "challenge", acme.ChallengeTypeTLSALPN01, "name", hello.ServerName)
	return c, nil
}
