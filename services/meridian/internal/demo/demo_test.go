package demo_test

import (
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore/modeltest"
)

func TestModel(t *testing.T) { modeltest.Test(t, "store.fga.yaml") }
