package meridian_test

import (
	"crypto/sha256"
	"testing"
)

// BenchmarkVerify compares a token that was seen before with the hash of it, by which it is
// found: on one goroutine, and on all.
func BenchmarkVerify(b *testing.B) {
	p := newProvider(b, 0)
	p.next(p.forever)
	tokens := p.verifies(b, p.url)
	token := p.token(b, "ses_1")
	becomes(b, tokens, token, 0)
	verify := func(b *testing.B) {
		if _, err := tokens.Verify(token); err != nil {
			b.Error(err)
		}
	}
	b.Run("hash-alone", func(b *testing.B) {
		b.ReportAllocs()
		var sum [sha256.Size]byte
		for b.Loop() {
			sum = sha256.Sum256([]byte(token))
		}
		_ = sum
	})
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			verify(b)
		}
	})
	b.Run("remembered-together", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(each *testing.PB) {
			for each.Next() {
				verify(b)
			}
		})
	})
}
