package project_test

import (
	"math"
	"testing"

	"github.com/meridian-iam/meridian/pkg/project"
)

func TestJudge(t *testing.T) {
	tests := []struct {
		last, incoming uint64
		want           project.Verdict
	}{
		{0, 0, project.Drop},
		{0, 1, project.Apply},
		{0, 2, project.Gap},
		{1, 1, project.Drop},
		{7, 3, project.Drop},
		{7, 7, project.Drop},
		{7, 8, project.Apply},
		{7, 9, project.Gap},
		{0, math.MaxUint64, project.Gap},
		{math.MaxUint64 - 1, math.MaxUint64, project.Apply},
		{math.MaxUint64, 0, project.Drop},
		{math.MaxUint64, math.MaxUint64, project.Drop},
	}
	for _, test := range tests {
		if got := project.Judge(test.last, test.incoming); got != test.want {
			t.Errorf("last %d, incoming %d: got %d, want %d", test.last, test.incoming, got, test.want)
		}
	}
}
