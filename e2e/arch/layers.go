package arch

// Layers returns the table. proto is below everything, pkg knows no service, a
// service knows no other one, and inside a service the decisions are pure.
func Layers() []Row {
	const (
		proto     = "proto/gen/go/..."
		libraries = "pkg/..."
	)

	return []Row{
		{Folder: proto},
		// The tests of the contract.
		{Folder: "proto", May: []string{proto}},
		{Folder: "migrations"},

		// The parts that other companies' programs link.
		{Folder: "pkg/sdk/go/...", May: with("pkg/accesstoken", "pkg/authzcore/...", "pkg/dpop", "pkg/failover", "pkg/fault/faultconnect", proto), NeverDeep: heavy},
		{Folder: "pkg/authzcore/...", May: []string{"pkg/fault", proto}, NeverDeep: heavy},

		// Libraries. None of them knows a service.
		{Folder: "pkg/failover", May: []string{"pkg/fault/...", proto}, NeverDeep: heavy},
		{Folder: "pkg/fault", May: []string{proto}, NeverDeep: heavy},
		{Folder: "pkg/id", May: with(proto), Never: inputOutput, NeverDeep: heavy},
		{Folder: "pkg/page", May: with(proto), Never: inputOutput, NeverDeep: heavy},
		{Folder: "pkg/region", May: with(proto), NeverDeep: heavy},
		{Folder: "pkg/revision", May: with(proto), Never: inputOutput, NeverDeep: heavy},
		{Folder: "pkg/secret", May: with(), NeverDeep: heavy},
		{Folder: "pkg/accesstoken", May: with("pkg/jose", proto), NeverDeep: heavy},
		{Folder: "pkg/dpop", May: with("pkg/jose"), NeverDeep: heavy},
		{
			Folder: libraries,
			May:    []string{"migrations", proto},
			Never:  []Ban{{Module + "pkg/sdk", "the SDK is for callers; what both need belongs in a package of its own"}},
		},

		// The one binary wires everything together.
		{Folder: "services/meridian/...", May: []string{"services/...", libraries, "migrations", proto}},

		// What an identifier is, a name and a URI: rules, as pure as decisions, which
		// may use them.
		{Folder: "services/{service}/internal/uri", May: with(), Never: rowsAndCalls},
		{Folder: "services/identity/internal/writing", May: with(), Never: inputOutput},
		{Folder: "services/identity/internal/address", May: with("services/identity/internal/writing", proto), Never: inputOutput},
		{Folder: "services/identity/internal/displayname", May: with("services/identity/internal/writing", proto), Never: inputOutput},

		// A service. Go itself keeps internal packages from other services; the
		// rows below keep the public ones apart as well.
		{
			Folder: "services/{service}/internal/domain/...",
			May: with("services/{service}/internal/domain/...", "services/{service}/internal/address",
				"services/{service}/internal/displayname", "services/{service}/internal/uri", "pkg/authzcore/...", proto),
			Never: inputOutput,
		},
		{
			Folder: "services/{service}/internal/store/...",
			May: []string{
				"services/{service}/internal/domain/...", "services/{service}/internal/address", "services/{service}/internal/blind",
				"services/{service}/internal/displayname", libraries, proto,
			},
			Never: []Ban{{"connectrpc.com", "rows know nothing of calls: answer with state or a fault"}},
		},
		// What people prove themselves with. Chance and waiting belong to these
		// packages, and to passwords a list in a file; rows, calls and clocks do not.
		{Folder: "services/{service}/internal/password", May: with(proto), Never: rowsAndCalls},
		{Folder: "services/{service}/internal/otp", May: with(proto), Never: append([]Ban{{"context", "codes are computed at once"}}, rowsAndCalls...)},
		{Folder: "services/{service}/internal/recovery", May: with(proto), Never: append([]Ban{{"context", "codes are compared at once"}}, rowsAndCalls...)},
		{Folder: "services/{service}/internal/onetime", May: with(proto), Never: append([]Ban{{"context", "codes are compared at once"}}, rowsAndCalls...)},
		{
			Folder: "services/{service}/...",
			May:    []string{"services/{service}/...", libraries, "migrations", proto},
		},

		// End-to-end tests talk to running processes.
		{Folder: "e2e/...", May: []string{libraries, "migrations", proto}},
	}
}

// with adds the small packages that everything may use, SDK and decisions too.
func with(more ...string) []string {
	return append(more, "pkg/fault", "pkg/id", "pkg/page", "pkg/region", "pkg/revision", "pkg/secret")
}

// inputOutput is what pure code has no use for. Ids, times and random bytes
// are given to it.
var inputOutput = []Ban{
	{"context", "pure code neither waits nor is cancelled"},
	{"os", "pure code knows no machine"},
	{"io/fs", "pure code reads no files"},
	{"net", "pure code makes no calls"},
	{"log", "pure code returns what there is to say"},
	{"database/sql", "decisions are made on state, not on rows"},
	{"github.com/jackc/pgx", "decisions are made on state, not on rows"},
	{"github.com/nats-io", "decisions return events; the relay publishes them"},
	{"connectrpc.com", "decisions return a fault; the rpc layer answers"},
	{"google.golang.org/grpc", "decisions return a fault; the rpc layer answers"},
	{"crypto/rand", "random bytes are given to a decision"},
	{"math/rand", "the same state and command give the same events"},
}

// rowsAndCalls is what code has no use for that is given secrets and answers about
// them.
var rowsAndCalls = []Ban{
	{"net/http", "secrets are not sent from here"},
	{"log", "the caller knows what may be said of a secret"},
	{"database/sql", "rows are given and returned"},
	{"github.com/jackc/pgx", "rows are given and returned"},
	{"github.com/nats-io", "decisions return events; the relay publishes them"},
	{"connectrpc.com", "the rpc layer answers"},
	{"google.golang.org/grpc", "the rpc layer answers"},
}

// heavy is what a program that only asks for checks must not download or link.
var heavy = []Ban{
	{"github.com/jackc/pgx", "users of the SDK need no database driver"},
	{"github.com/nats-io", "users of the SDK need no event bus"},
	{"github.com/pressly/goose", "users of the SDK migrate nothing"},
	{Module + "pkg/sqldb", "users of the SDK need no database"},
	{Module + "pkg/bus", "users of the SDK need no event bus"},
	{Module + "pkg/eventlog", "users of the SDK read no log from a database"},
	{Module + "pkg/serve", "users of the SDK serve nothing"},
}
