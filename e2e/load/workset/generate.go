package workset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
)

// Summary says what a work set holds.
type Summary struct {
	Organizations    int            `json:"organizations"`
	Tuples           int            `json:"tuples"`
	TuplesByRelation map[string]int `json:"tuples_by_relation"` // type#relation
	LargestTuples    int            `json:"largest_organization_tuples"`
	Checks           int            `json:"checks"`
	ChecksTrue       int            `json:"checks_true"`
	ChecksByKind     map[string]int `json:"checks_by_kind"`
	Lists            int            `json:"lists"`
	ListObjects      int            `json:"list_objects"` // over all lists
	Probes           int            `json:"probes"`
}

// Generate writes a work set into a folder, which it makes. progress, when not
// nil, hears how many organizations of how many are done.
//
// Errors: sizes that break a rule; what the file system says; ctx's error. Then
// the folder holds no new work set.
func Generate(ctx context.Context, s Sizes, dir string, progress func(done, of int)) (Summary, error) {
	if err := s.validate(); err != nil {
		return Summary{}, err
	}
	out, err := create(dir)
	if err != nil {
		return Summary{}, err
	}
	defer out.abandon()
	g := newGenerator(s, out)
	for rank := range s.Organizations {
		if err := ctx.Err(); err != nil {
			return Summary{}, err
		}
		if err := g.organization(rank); err != nil {
			return Summary{}, err
		}
		if progress != nil {
			progress(rank+1, s.Organizations)
		}
	}
	if err := g.finish(); err != nil {
		return Summary{}, err
	}
	return g.summary, out.commit()
}

// generator goes through the organizations once. Which of them each question is
// about was drawn before, so that a question can wait for its organization.
type generator struct {
	sizes   Sizes
	out     *files
	factors []float64
	users   []int
	summary Summary

	checks    []Check
	checksOf  [][]int // organization to the places of its checks
	lists     []string
	tables    [][]string // per list: the tables found so far
	probes    []Probe
	probesOf  []int // organization to the number of its probes
	probeSeen map[Tuple]bool
}

func newGenerator(s Sizes, out *files) *generator {
	g := &generator{
		sizes:     s,
		out:       out,
		factors:   s.factors(),
		users:     make([]int, s.Organizations),
		checks:    make([]Check, s.Checks),
		checksOf:  make([][]int, s.Organizations),
		tables:    make([][]string, s.Lists),
		probesOf:  make([]int, s.Organizations),
		probeSeen: make(map[Tuple]bool),
		summary: Summary{
			Organizations:    s.Organizations,
			TuplesByRelation: make(map[string]int),
			ChecksByKind:     make(map[string]int),
		},
	}
	for rank, factor := range g.factors {
		g.users[rank] = times(s.Users, factor)
	}
	random := randomFor(s.Seed, purposePlan, 0)
	asked := newShares(byRank(s.Organizations, s.AskSkew))
	for n := range s.Checks {
		rank := asked.draw(random)
		g.checksOf[rank] = append(g.checksOf[rank], n)
	}
	for range s.Lists {
		rank := asked.draw(random)
		g.lists = append(g.lists, userID(rank, random.IntN(g.users[rank])))
	}
	for range s.Probes {
		g.probesOf[random.IntN(s.Organizations)]++
	}
	return g
}

func (g *generator) organization(rank int) error {
	o := makeOrganization(g.sizes, g.factors[rank], g.users, rank)
	for _, t := range o.tuples {
		if err := g.out.tuple(t); err != nil {
			return err
		}
		g.summary.TuplesByRelation[t.Object.Type+"#"+t.Relation]++
	}
	g.summary.Tuples += len(o.tuples)
	g.summary.LargestTuples = max(g.summary.LargestTuples, len(o.tuples))

	oracle := NewOracle(o.tuples)
	a := newAsker(o, oracle, randomFor(g.sizes.Seed, purposeChecks, rank))
	for _, n := range g.checksOf[rank] {
		g.checks[n] = a.ask()
	}
	for n, who := range g.lists {
		g.tables[n] = append(g.tables[n], a.selectable(who)...)
	}
	a.random = randomFor(g.sizes.Seed, purposeProbes, rank)
	for range g.probesOf[rank] {
		if p, ok := a.probe(g.probeSeen); ok {
			g.probes = append(g.probes, p)
		}
	}
	return nil
}

// finish writes the questions.
func (g *generator) finish() error {
	for _, c := range g.checks {
		if err := g.out.check(c); err != nil {
			return err
		}
		g.summary.Checks++
		g.summary.ChecksByKind[c.Kind]++
		if c.Expected {
			g.summary.ChecksTrue++
		}
	}
	for n, who := range g.lists {
		l := List{
			Subject: user(who), Permission: "can_select", ObjectType: "table",
			Count: len(g.tables[n]), Digest: Digest(g.tables[n]),
		}
		if err := g.out.list(l); err != nil {
			return err
		}
		g.summary.Lists++
		g.summary.ListObjects += l.Count
	}
	randomFor(g.sizes.Seed, purposeProbes, -1).Shuffle(len(g.probes), func(i, j int) {
		g.probes[i], g.probes[j] = g.probes[j], g.probes[i]
	})
	for _, p := range g.probes {
		if err := g.out.probe(p); err != nil {
			return err
		}
		g.summary.Probes++
	}
	if g.summary.Probes < g.sizes.Probes/2 {
		return fmt.Errorf("found %d of %d probes: the organizations are too small", g.summary.Probes, g.sizes.Probes)
	}
	return nil
}

// Digest is short and the same for the same set of ids in any order: the first
// 8 bytes of the SHA-256 of the sorted ids, one on a line, in hexadecimal.
func Digest(ids []string) string {
	if !slices.IsSorted(ids) {
		ids = slices.Sorted(slices.Values(ids))
	}
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	return hex.EncodeToString(sum[:8])
}

// shares draws numbers in given proportions.
type shares struct{ sums []float64 }

func newShares(of []float64) shares {
	sums := make([]float64, len(of))
	total := 0.0
	for i, share := range of {
		total += share
		sums[i] = total
	}
	return shares{sums}
}

func (s shares) draw(random *rand.Rand) int {
	x := random.Float64() * s.sums[len(s.sums)-1]
	return min(sort.SearchFloat64s(s.sums, x), len(s.sums)-1)
}
