package arch_test

import (
	"slices"
	"testing"

	"github.com/meridian-iam/meridian/e2e/arch"
)

// made returns a package of ours with the given imports.
func made(folder string, imports ...string) arch.Package {
	return arch.Package{ImportPath: arch.Module + folder, Imports: imports, Deps: imports}
}

// The table must let through what the repository is built of.
func TestCheckAccepts(t *testing.T) {
	const m = arch.Module
	tested := made("services/authz/internal/store", "github.com/jackc/pgx/v5", m+"services/authz/internal/domain/model")
	tested.XTestImports = []string{m + "services/authz/internal/store", m + "pkg/sqldb/sqltest"}
	inDomain := made("services/authz/internal/domain/model", "errors", m+"pkg/fault", m+"pkg/authzcore")
	inDomain.TestImports = []string{"os", "context"}
	packages := []arch.Package{
		tested,
		inDomain,
		made("proto/gen/go/meridian/common/v1", "google.golang.org/protobuf/proto"),
		made("pkg/eventlog", "github.com/jackc/pgx/v5", m+"pkg/sqldb", m+"proto/gen/go/meridian/log/v1"),
		made("pkg/sqldb", m+"migrations"),
		made("pkg/sqldb/sqltest", m+"pkg/sqldb", "testing"),
		made("pkg/sdk/go/meridian", m+"pkg/authzcore/graph", "connectrpc.com/connect"),
		made("services/authz", m+"services/authz/internal/rpc", m+"pkg/eventlog"),
		made("services/meridian", m+"services/authz", m+"services/identity"),
		made("services/meridian/internal/command", m+"services/authz"),
		made("e2e/load/cmd/drive", m+"e2e/load/workset", m+"proto/gen/go/meridian/authz/v1"),
	}
	for _, v := range arch.Check(packages, arch.Layers()) {
		t.Error(v)
	}
}

// Negative control: each of these must be found, and only once.
func TestCheckFinds(t *testing.T) {
	const m = arch.Module
	deep := made("pkg/sdk/go/meridian", m+"pkg/authzcore")
	deep.Deps = []string{m + "pkg/authzcore", "github.com/nats-io/nats.go"}
	onlyInTest := made("pkg/id")
	onlyInTest.XTestImports = []string{m + "services/identity"}
	for name, c := range map[string]struct {
		p    arch.Package
		want string
	}{
		"no row":                           {made("infra/robot"), ""},
		"not ours":                         {arch.Package{ImportPath: "example.com/x"}, ""},
		"a vague name":                     {made("pkg/util"), ""},
		"a library knows a service":        {made("pkg/eventlog", m+"services/authz"), m + "services/authz"},
		"a library's test knows a service": {onlyInTest, m + "services/identity"},
		"a library uses the SDK":           {made("pkg/serve", m+"pkg/sdk/go/meridian"), m + "pkg/sdk/go/meridian"},
		"a service knows another":          {made("services/authz", m+"services/identity"), m + "services/identity"},
		"a service knows the binary":       {made("services/authz", m+"services/meridian"), m + "services/meridian"},
		"a decision waits":                 {made("services/authz/internal/domain/model", "context"), "context"},
		"a decision calls":                 {made("services/authz/internal/domain/model", "net/http"), "net/http"},
		"a decision writes rows":           {made("services/authz/internal/domain/model", "github.com/jackc/pgx/v5"), "github.com/jackc/pgx/v5"},
		"a decision uses the store": {
			made("services/authz/internal/domain/model", m+"services/authz/internal/store"), m + "services/authz/internal/store",
		},
		"a decision reads the log": {made("services/authz/internal/domain/model", m+"pkg/eventlog"), m + "pkg/eventlog"},
		"passwords are looked up": {
			made("services/identity/internal/password", "context", "os", m+"services/identity/internal/store"), m + "services/identity/internal/store",
		},
		"passwords are sent":             {made("services/identity/internal/password", "context", "net/http"), "net/http"},
		"codes wait":                     {made("services/identity/internal/otp", "net/url", "crypto/rand", "context"), "context"},
		"a store answers calls":          {made("services/authz/internal/store", "connectrpc.com/connect"), "connectrpc.com/connect"},
		"a store knows the rpc layer":    {made("services/authz/internal/store", m+"services/authz/internal/rpc"), m + "services/authz/internal/rpc"},
		"the engine knows the log":       {made("pkg/authzcore", m+"pkg/revision"), m + "pkg/revision"},
		"the SDK pulls in the event bus": {deep, "github.com/nats-io/nats.go"},
		"e2e knows a service":            {made("e2e/journeys", m+"services/authz"), m + "services/authz"},
		"generated code knows a library": {made("proto/gen/go/meridian/authz/v1", m+"pkg/id"), m + "pkg/id"},
		"a program links test support":   {made("pkg/relay", m+"pkg/sqldb/sqltest"), m + "pkg/sqldb/sqltest"},
	} {
		t.Run(name, func(t *testing.T) {
			found := arch.Check([]arch.Package{c.p}, arch.Layers())
			if len(found) != 1 || found[0].Import != c.want || found[0].Why == "" {
				t.Errorf("found %v, want one violation by %q", found, c.want)
			}
		})
	}
}

// Two prefixes that look alike are two folders.
func TestCheckComparesWholeElements(t *testing.T) {
	rows := []arch.Row{{Folder: "a/...", Never: []arch.Ban{{Path: "net", Why: "no calls"}}}, {Folder: "ab"}}
	found := arch.Check([]arch.Package{
		made("a/x", "netip.example/net", "network"),
		made("ab", arch.Module+"a/x"),
	}, rows)
	if len(found) != 1 || found[0].Package != arch.Module+"ab" {
		t.Errorf("found %v, want only that ab may not import a/x", found)
	}
	if !slices.ContainsFunc(found, func(v arch.Violation) bool { return v.String() != "" }) {
		t.Error("a violation says nothing")
	}
}
