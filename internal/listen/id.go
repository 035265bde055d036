package listen

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
)

// After an upgrade two processes, or more, have the same UDP socket: the new one and those that finish their connections. The
// newest reads the socket, and has to know whose a packet is before anything of it can be decrypted. All that is in the clear
// is the destination connection ID, and we choose those of our connections (RFC 9000 section 5.1):
//
//	random (9 bytes) | generation, zero, zero (3 bytes), under the first 3 bytes of AES(key, random)
//
// The generation is a number that each process of a chain of upgrades has for itself, and the key is theirs in common. It is
// hidden, as an ID must not tell an observer what belongs together (the same section). The two zeros tell our IDs
// from the random ones that clients choose for their first packets: one in 65536 of those that have this length at all looks
// like ours, and of these only one in 256 for each living elder goes to the wrong process, where it gets no answer.

// ConnectionIDLength is the length in bytes of all connection IDs that this process makes. Chromium chooses 8 bytes for first
// packets and ngtcp2 18, so that they are never taken for ours.
const ConnectionIDLength = idRandom + 3

const idRandom = 9

// ids makes and reads connection IDs.
type ids struct {
	generation byte
	block      cipher.Block
}

func newIDs(key [32]byte, generation byte) *ids {
	k := derive(key, "connection IDs")
	block, err := aes.NewCipher(k[:16])
	if err != nil {
		panic(err) // of the key's length, which is a constant
	}
	return &ids{generation, block}
}

// next makes an ID.
func (d *ids) next() []byte {
	id := make([]byte, ConnectionIDLength)
	rand.Read(id[:idRandom])
	mask := d.mask(id)
	id[idRandom], id[idRandom+1], id[idRandom+2] = d.generation^mask[0], mask[1], mask[2]
	return id
}

// owner reads the generation of an ID that a process of this chain made; ok is false for all others.
func (d *ids) owner(id []byte) (generation byte, ok bool) {
	if len(id) != ConnectionIDLength {
		return 0, false
	}
	mask := d.mask(id)
	return id[idRandom] ^ mask[0], id[idRandom+1] == mask[1] && id[idRandom+2] == mask[2]
}

func (d *ids) mask(id []byte) (b [aes.BlockSize]byte) {
	copy(b[:idRandom], id)
	d.block.Encrypt(b[:], b[:])
	return b
}

// destination returns the destination connection ID of a packet, nil without one. The place of it is the same in all versions
// of QUIC (RFC 8999 sections 5.1 and 5.2):
//
//	long header   1 (1 bit) ... | version (4 bytes) | length (1 byte) | ID ...
//	short header  0 (1 bit) ... | ID, as long as its owner makes them ...
//
// No difference is made between kinds of packets: a first packet (Initial, 0-RTT) has an ID of the client's choice, and
// belongs to nobody yet; if it has one of ours, then an answer of that process has reached the client (RFC 9000 section 7.2).
func destination(packet []byte) []byte {
	const longHeader, lengthAt = 0x80, 5
	switch {
	case len(packet) == 0:
		return nil
	case packet[0]&longHeader == 0:
		if len(packet) < 1+ConnectionIDLength {
			return nil
		}
		return packet[1 : 1+ConnectionIDLength]
	case len(packet) <= lengthAt || len(packet) < lengthAt+1+int(packet[lengthAt]):
		return nil
	}
	return packet[lengthAt+1 : lengthAt+1+int(packet[lengthAt])]
}
