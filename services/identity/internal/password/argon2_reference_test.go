package password_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/blake2b"
)

// The library's functions take neither a key nor associated data, which the
// RFC's vectors have. So the vectors judge a plain implementation of RFC 9106,
// and that judges the library.
type reference struct {
	kind                      uint32 // 0 argon2d, 1 argon2i, 2 argon2id
	password, salt, key, data []byte
	passes, memory, lanes     uint32
	tag                       uint32
}

type block [128]uint64

func (r reference) derive() []byte {
	segment := r.memory / (4 * r.lanes)
	length := 4 * segment
	seed := r.seed()
	lanes := make([][]block, r.lanes)
	for i := range lanes {
		lanes[i] = make([]block, length)
		for j := range uint32(2) {
			in := binary.LittleEndian.AppendUint32(bytes.Clone(seed), j)
			fillBlock(&lanes[i][j], stretch(binary.LittleEndian.AppendUint32(in, uint32(i)), 1024))
		}
	}
	for pass := range r.passes {
		for slice := range uint32(4) {
			for lane := range r.lanes {
				r.segment(lanes, pass, slice, lane, segment)
			}
		}
	}
	var last block
	for i := range lanes {
		for k := range last {
			last[k] ^= lanes[i][length-1][k]
		}
	}
	out := make([]byte, 0, 1024)
	for _, w := range last {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return stretch(out, r.tag)
}

func (r reference) seed() []byte {
	var in []byte
	for _, v := range []uint32{r.lanes, r.tag, r.memory, r.passes, 0x13, r.kind} {
		in = binary.LittleEndian.AppendUint32(in, v)
	}
	for _, text := range [][]byte{r.password, r.salt, r.key, r.data} {
		in = append(binary.LittleEndian.AppendUint32(in, uint32(len(text))), text...)
	}
	sum := blake2b.Sum512(in)
	return sum[:]
}

func (r reference) segment(lanes [][]block, pass, slice, lane, segment uint32) {
	length := 4 * segment
	independent := r.kind == 1 || r.kind == 2 && pass == 0 && slice < 2
	var addresses, zero block
	for i := range segment {
		if independent && i%128 == 0 {
			in := block{uint64(pass), uint64(lane), uint64(slice), uint64(length * r.lanes), uint64(r.passes), uint64(r.kind), uint64(i/128 + 1)}
			first := mix(&zero, &in)
			addresses = mix(&zero, &first)
		}
		if pass == 0 && slice == 0 && i < 2 {
			continue
		}
		at := slice*segment + i
		before := &lanes[lane][(at+length-1)%length]
		word := before[0]
		if independent {
			word = addresses[i%128]
		}
		of := uint32(word>>32) % r.lanes
		if pass == 0 && slice == 0 {
			of = lane
		}
		window, start := slice*segment, uint32(0)
		if pass > 0 {
			window, start = length-segment, (slice+1)*segment
		}
		switch {
		case of == lane:
			window += i - 1
		case i == 0:
			window--
		}
		x := (word & 0xffffffff) * (word & 0xffffffff) >> 32
		from := (uint64(start) + uint64(window) - 1 - uint64(window)*x>>32) % uint64(length)
		made := mix(before, &lanes[of][from])
		for k := range made {
			if pass > 0 {
				made[k] ^= lanes[lane][at][k]
			}
		}
		lanes[lane][at] = made
	}
}

// mix is the compression function G.
func mix(x, y *block) block {
	var r, q block
	for i := range r {
		r[i] = x[i] ^ y[i]
	}
	q = r
	for row := range 8 {
		var at [16]int
		for k := range at {
			at[k] = 16*row + k
		}
		permute(&q, at)
	}
	for column := range 8 {
		var at [16]int
		for k := range at {
			at[k] = 16*(k/2) + 2*column + k%2
		}
		permute(&q, at)
	}
	for i := range q {
		q[i] ^= r[i]
	}
	return q
}

func permute(v *block, at [16]int) {
	for _, g := range [8][4]int{
		{0, 4, 8, 12},
		{1, 5, 9, 13},
		{2, 6, 10, 14},
		{3, 7, 11, 15},
		{0, 5, 10, 15},
		{1, 6, 11, 12},
		{2, 7, 8, 13},
		{3, 4, 9, 14},
	} {
		a, b, c, d := &v[at[g[0]]], &v[at[g[1]]], &v[at[g[2]]], &v[at[g[3]]]
		for _, turn := range [2][2]int{{32, 24}, {16, 63}} {
			*a += *b + 2*(*a&0xffffffff)*(*b&0xffffffff)
			*d = bits.RotateLeft64(*d^*a, -turn[0])
			*c += *d + 2*(*c&0xffffffff)*(*d&0xffffffff)
			*b = bits.RotateLeft64(*b^*c, -turn[1])
		}
	}
}

// stretch is the hash H' of variable length.
func stretch(in []byte, length uint32) []byte {
	in = append(binary.LittleEndian.AppendUint32(nil, length), in...)
	if length <= 64 {
		h, _ := blake2b.New(int(length), nil)
		h.Write(in)
		return h.Sum(nil)
	}
	v := blake2b.Sum512(in)
	out := bytes.Clone(v[:32])
	for length -= 32; length > 64; length -= 32 {
		v = blake2b.Sum512(v[:])
		out = append(out, v[:32]...)
	}
	h, _ := blake2b.New(int(length), nil)
	h.Write(v[:])
	return h.Sum(out)
}

func fillBlock(b *block, from []byte) {
	for i := range b {
		b[i] = binary.LittleEndian.Uint64(from[8*i:])
	}
}

func TestArgon2Reference(t *testing.T) {
	var vector struct {
		T        uint32 `json:"t"`
		M        uint32 `json:"m_kib"`
		P        uint32 `json:"p"`
		Tag      uint32 `json:"tag_len"`
		Password string `json:"password_hex"`
		Salt     string `json:"salt_hex"`
		Secret   string `json:"secret_hex"`
		AD       string `json:"ad_hex"`
		D        string `json:"argon2d"`
		I        string `json:"argon2i"`
		ID       string `json:"argon2id"`
	}
	if !shared(t, "argon2.json", &vector) {
		return
	}
	for kind, want := range []string{vector.D, vector.I, vector.ID} {
		r := reference{
			kind: uint32(kind), passes: vector.T, memory: vector.M, lanes: vector.P, tag: vector.Tag,
			password: unhex(t, vector.Password), salt: unhex(t, vector.Salt), key: unhex(t, vector.Secret), data: unhex(t, vector.AD),
		}
		if got := hex.EncodeToString(r.derive()); got != want {
			t.Errorf("RFC 9106, section 5, kind %d: %s, want %s", kind, got, want)
		}
	}
}

func TestArgon2LibraryEqualsReference(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		r := reference{
			passes: 1 + random.Uint32N(4), lanes: 1 + random.Uint32N(4), tag: 16 + random.Uint32N(81),
			password: make([]byte, random.IntN(90)), salt: make([]byte, 8+random.IntN(30)),
		}
		r.memory = 8*r.lanes + random.Uint32N(600)
		for i := range r.password {
			r.password[i] = byte(random.Uint32())
		}
		for i := range r.salt {
			r.salt[i] = byte(random.Uint32())
		}
		r.kind = 1
		if got := argon2.Key(r.password, r.salt, r.passes, r.memory, uint8(r.lanes), r.tag); !bytes.Equal(got, r.derive()) {
			t.Errorf("argon2i differs from the RFC: %+v", r)
		}
		r.kind = 2
		if got := argon2.IDKey(r.password, r.salt, r.passes, r.memory, uint8(r.lanes), r.tag); !bytes.Equal(got, r.derive()) {
			t.Errorf("argon2id differs from the RFC: %+v", r)
		}
	}
}

// shared reads a vector from the folder of shared vectors: $MERIDIAN_SHARED, or
// shared beside the repository. Where it is not, the log says so.
func shared(t *testing.T, name string, into any) bool {
	t.Helper()
	folder := os.Getenv("MERIDIAN_SHARED")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "..", "..", "shared")
	}
	content, err := os.ReadFile(filepath.Join(folder, "vectors", "rfc", name))
	if os.IsNotExist(err) {
		t.Logf("NOT TESTED: the vectors %s are not on this machine (set MERIDIAN_SHARED): %v", name, err)
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
	return true
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
