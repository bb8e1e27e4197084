package accesstoken_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
)

// BenchmarkVerify compares a token that comes for the first time, and one that is
// remembered, with the one ECDSA verification that the first needs.
func BenchmarkVerify(b *testing.B) {
	k := newKey(b, "k1")
	token := k.sign(b, "at+jwt", claims())
	b.Run("ecdsa-alone", func(b *testing.B) {
		digest := sha256.Sum256([]byte("x"))
		r, s, err := ecdsa.Sign(rand.Reader, k.private, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.Verify(&k.private.PublicKey, digest[:], r, s) {
				b.Fatal("not verified")
			}
		}
	})
	filled := func(c *accesstoken.Config) {
		for i := range 10_000 {
			c.Deny.Add(accesstoken.Entry{Kind: accesstoken.Session, ID: fmt.Sprint("ses_other_", i), NotBefore: now})
		}
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		v := verifier(b, k, filled)
		for b.Loop() {
			v.Forget()
			if _, err := v.Verify(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		v := verifier(b, k, filled)
		for b.Loop() {
			if _, err := v.Verify(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("deny-alone", func(b *testing.B) {
		b.ReportAllocs()
		v := verifier(b, k, filled)
		c, err := v.Verify(token)
		if err != nil {
			b.Fatal(err)
		}
		d := accesstoken.NewDeny(nil)
		filled(&accesstoken.Config{Deny: d})
		for b.Loop() {
			if d.Check(c, "k1") {
				b.Fatal("denied")
			}
		}
	})
}
