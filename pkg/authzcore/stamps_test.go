package authzcore

import "testing"

// displaced is how far entries are from where they belong, on average.
func (t *stamps) displaced() float64 {
	total, entries := 0, 0
	for i, s := range t.slots {
		if s.gen >= t.base {
			total += (i - int(t.home(s.key, s.gen))) & (len(t.slots) - 1)
			entries++
		}
	}
	return float64(total) / float64(max(entries, 1))
}

// Entries that differ in one of their parts only must not crowd together: the
// objects of one search, the states of one object, or the same objects in one
// search after another.
func TestStampsSpread(t *testing.T) {
	for name, test := range map[string]struct{ objects, states, generations int }{
		"objects":                            {100_000, 1, 1},
		"states":                             {1, 4000, 1},
		"generations":                        {1, 1, 100_000},
		"objects in states":                  {1000, 100, 1},
		"objects of generations":             {20, 1, 10_000},
		"objects in states of generations":   {50, 5, 400},
		"many objects of a few generations":  {30_000, 1, 4},
		"few objects in states, generations": {2, 100, 500},
	} {
		t.Run(name, func(t *testing.T) {
			var table stamps
			for gen := range test.generations {
				for state := range test.states {
					for object := range test.objects {
						if !table.add(visitKey(int32(state), uint32(object)), uint32(gen+1), 1) {
							t.Fatal("an entry was there before it was made")
						}
					}
				}
			}
			if far := table.displaced(); far > 2 {
				t.Errorf("%d entries are %.1f slots away from theirs", table.used, far)
			}
		})
	}
}
