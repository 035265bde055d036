package cert

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// account is what storage keeps of an account.
type account struct {
	Location string   `json:"location"`
	Contact  []string `json:"contact,omitempty"`
	Key      string   `json:"key"` // PEM
}

// accountKey is where the account is kept. Another address or binding is another account.
func (ca *authority) accountKey() string {
	id := ca.config.Email
	if ca.config.EAB != nil {
		id += "\x00" + ca.config.EAB.ID
	}
	sum := sha256.Sum256([]byte(id))
	return path.Join("accounts", ca.key, hex.EncodeToString(sum[:8])+".json")
}

func (ca *authority) loadAccount(ctx context.Context) (acme.Account, error) {
	b, err := ca.storage.Load(ctx, ca.accountKey())
	if err != nil {
		return acme.Account{}, err
	}
	var kept account
	if err := json.Unmarshal(b, &kept); err != nil {
		return acme.Account{}, fmt.Errorf("read account: %w", err)
	}
	key, err := certmagic.PEMDecodePrivateKey([]byte(kept.Key))
	if err != nil {
		return acme.Account{}, fmt.Errorf("read account's key: %w", err)
	}
	return acme.Account{Status: acme.StatusValid, Location: kept.Location, Contact: kept.Contact, PrivateKey: key}, nil
}

// useAccount loads the account or, once for all nodes, registers one.
func (ca *authority) useAccount(ctx context.Context) (acme.Account, error) {
	a, err := ca.loadAccount(ctx)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	unlock, err := ca.lock(ctx, "account "+ca.accountKey())
	if err != nil {
		return a, err
	}
	defer unlock()
	if a, err = ca.loadAccount(ctx); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return a, fmt.Errorf("generate account key: %w", err)
	}
	a = acme.Account{TermsOfServiceAgreed: true, PrivateKey: key}
	if ca.config.Email != "" {
		a.Contact = []string{"mailto:" + ca.config.Email}
	}
	if ca.config.EAB != nil {
		if err := a.SetExternalAccountBinding(ctx, ca.client.Client, acme.EAB{KeyID: ca.config.EAB.ID, MACKey: ca.config.EAB.Key}); err != nil {
			return a, fmt.Errorf("bind account: %w", err)
		}
	}
	if a, err = ca.client.NewAccount(ctx, a); err != nil {
		return a, fmt.Errorf("register account: %w", err)
	}
	pem, err := certmagic.PEMEncodePrivateKey(key)
	if err != nil {
		return a, fmt.Errorf("keep account key: %w", err)
	}
	b, err := json.Marshal(account{Location: a.Location, Contact: a.Contact, Key: string(pem)})
	if err != nil {
		return a, fmt.Errorf("keep account: %w", err)
	}
	if err := ca.storage.Store(ctx, ca.accountKey(), b); err != nil {
		return a, fmt.Errorf("keep account: %w", err)
	}
	ca.log.Info("account was registered at the CA", "directory", ca.config.Directory, "account", a.Location)
	return a, nil
}
