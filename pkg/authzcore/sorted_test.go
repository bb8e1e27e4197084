package authzcore

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSorted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var memory sorter // one for all: what is left of a list must not show in the next
	for range 2000 {
		names := make([]string, r.IntN(40))
		for i := range names {
			b := []byte("doc:")
			for range r.IntN(14) {
				b = append(b, "\x00ab\xff"[r.IntN(4)])
			}
			names[i] = string(b)
		}
		var got []string
		for _, k := range memory.sort(names) {
			got = append(got, names[k.at])
		}
		want := slices.Sorted(slices.Values(names))
		if !slices.Equal(got, want) {
			t.Fatalf("%q sorted is %q", names, got)
		}
	}
}
