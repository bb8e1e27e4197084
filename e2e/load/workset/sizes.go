package workset

import (
	"fmt"
	"math"
)

// Sizes says how large a work set is. Numbers for one organization are
// averages: see SizeSkew. The zero value of every field makes none of it.
type Sizes struct {
	Seed          uint64  // the same seed and sizes give the same bytes
	Organizations int     // at least 1
	Users         int     // in an organization
	Groups        int     // in an organization, at least 4
	Services      int     // in an organization
	Databases     int     // in a service
	Tables        int     // in a database
	Pipes         int     // in a service
	Dashboards    int     // in an organization
	GuestPercent  int     // of the grants to users go to another organization's user
	OpenPercent   int     // of the dashboards are open to every user
	BannedPercent int     // of the tables ban a user
	Checks        int     // questions
	Lists         int     // questions
	Probes        int     // questions
	SizeSkew      float64 // an organization's size is proportional to rank^-SizeSkew
	AskSkew       float64 // an organization's share of the questions, to rank^-AskSkew
}

// Preset returns the sizes of a name: small (10 organizations, about 10,000
// tuples), medium (1,000 and about 1 million), large (10,000 and about 10
// million).
func Preset(name string) (Sizes, error) {
	s := Sizes{
		Seed: 1, Users: 60, Groups: 12, Services: 6, Databases: 4, Tables: 18, Pipes: 2, Dashboards: 20,
		GuestPercent: 5, OpenPercent: 15, BannedPercent: 12, Lists: 200, Probes: 500, SizeSkew: 0.6, AskSkew: 1,
	}
	switch name {
	case "small":
		s.Organizations, s.Checks = 10, 50_000
	case "medium":
		s.Organizations, s.Checks = 1_000, 400_000
	case "large":
		s.Organizations, s.Checks = 10_000, 1_000_000
	default:
		return Sizes{}, fmt.Errorf("preset %q: must be small, medium or large", name)
	}
	return s, nil
}

// validate names the first field that breaks a rule.
func (s Sizes) validate() error {
	for _, f := range []struct {
		name             string
		value, low, high int
	}{
		{"organizations", s.Organizations, 1, 1_000_000},
		{"users", s.Users, 1, 100_000},
		{"groups", s.Groups, 0, 10_000},
		{"services", s.Services, 0, 10_000},
		{"databases", s.Databases, 0, 10_000},
		{"tables", s.Tables, 0, 10_000},
		{"pipes", s.Pipes, 0, 10_000},
		{"dashboards", s.Dashboards, 0, 100_000},
		{"guest percent", s.GuestPercent, 0, 100},
		{"open percent", s.OpenPercent, 0, 100},
		{"banned percent", s.BannedPercent, 0, 100},
		{"checks", s.Checks, 0, 100_000_000},
		{"lists", s.Lists, 0, 1_000_000},
		{"probes", s.Probes, 0, 1_000_000},
	} {
		if f.value < f.low || f.value > f.high {
			return fmt.Errorf("%s is %d: must be from %d to %d", f.name, f.value, f.low, f.high)
		}
	}
	for name, skew := range map[string]float64{"size skew": s.SizeSkew, "ask skew": s.AskSkew} {
		if !(skew >= 0 && skew <= 5) {
			return fmt.Errorf("%s is %v: must be from 0 to 5", name, skew)
		}
	}
	return nil
}

// factors returns how much larger or smaller than the average the organization
// of each rank is: from a fifth to twenty times.
func (s Sizes) factors() []float64 {
	shares := byRank(s.Organizations, s.SizeSkew)
	for i := range shares {
		shares[i] = min(max(shares[i]*float64(s.Organizations), 0.2), 20)
	}
	return shares
}

// byRank returns n shares, proportional to rank^-skew, that add up to 1.
func byRank(n int, skew float64) []float64 {
	shares := make([]float64, n)
	total := 0.0
	for i := range shares {
		shares[i] = math.Pow(float64(i+1), -skew)
		total += shares[i]
	}
	for i := range shares {
		shares[i] /= total
	}
	return shares
}

// times rounds n × factor, to at least one when there is to be any.
func times(n int, factor float64) int {
	if n == 0 {
		return 0
	}
	return max(1, int(math.Round(float64(n)*factor)))
}
