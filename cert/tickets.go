package cert

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// Session tickets (RFC 8446 section 4.6.1, RFC 5077) are sealed with keys that change every epoch:
//
//	epoch      e-1      e      e+1
//	opens       x       x       x      e-1: sessions from before the change; e+1: a node whose clock is ahead
//	seals               x
//
// With secrets in the configuration, every node derives the same keys from secret, epoch and the listener's client CA, and
// nodes never talk about it. The price: whoever learns a secret can open every session of TLS 1.2 that was resumed while it
// was in use (TLS 1.3 mixes in a fresh exchange). Without secrets each epoch has a random one, forgotten after two more.
//
// Keys differ by client CA because a ticket carries what was verified about the client: a session of a listener that trusts
// one CA must be no entry to a listener that trusts another.

const ticketEpoch = 12 * time.Hour

// tickets makes the keys.
type tickets struct {
	now func() time.Time

	mu     sync.Mutex         // guards random
	random map[int64][32]byte // the process's own secrets, by epoch
}

func newTickets(now func() time.Time) *tickets {
	return &tickets{now: now, random: map[int64][32]byte{}}
}

// set gives t the keys of this moment. It does nothing to a listener that has them already: crypto/tls would copy them again
// for nothing.
func (k *tickets) set(t *table) {
	epoch := k.now().Unix() / int64(ticketEpoch/time.Second)
	if t.epoch == epoch {
		return
	}
	t.epoch = epoch
	t.inner.SetSessionTicketKeys(k.keys(t.front.Tickets, t.context, epoch))
}

// keys is every key that opens, the one that seals first.
func (k *tickets) keys(secrets [][]byte, context []byte, epoch int64) [][32]byte {
	var keys [][32]byte
	if len(secrets) == 0 {
		k.mu.Lock()
		defer k.mu.Unlock()
		for old := range k.random {
			if old < epoch-2 {
				delete(k.random, old)
			}
		}
		for _, e := range []int64{epoch, epoch - 1, epoch - 2} {
			secret, ok := k.random[e]
			if !ok && e != epoch {
				continue
			}
			if !ok {
				rand.Read(secret[:]) // never fails (crypto/rand)
				k.random[e] = secret
			}
			keys = append(keys, derive(secret[:], context, e))
		}
		return keys
	}
	for _, e := range []int64{epoch, epoch - 1, epoch + 1} {
		for _, secret := range secrets {
			keys = append(keys, derive(secret, context, e))
		}
	}
	return keys
}

// derive is HKDF (RFC 5869) over the secret.
func derive(secret, context []byte, epoch int64) (key [32]byte) {
	info := binary.BigEndian.AppendUint64([]byte("skein session ticket\x00"), uint64(epoch))
	b, err := hkdf.Key(sha256.New, secret, nil, string(append(info, context...)), len(key))
	if err != nil {
		panic(err) // only for a length beyond 255 hashes
	}
	copy(key[:], b)
	return key
}
