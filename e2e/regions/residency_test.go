package regions_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/meridian-iam/meridian/e2e/harness"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// What the test looks for. The second is recorded as what it is not, a field
// without personal data: it must be found, or the search finds nothing at all.
const (
	personal = "anna.residency-canary@example.com"
	open     = "open.residency-control@example.com"
)

// testResidency shows that the personal data of a user who is at home in one
// region is nowhere in the others: not on their disks, not in their streams; and
// that they cannot read what arrives there, because the user's key is wrapped by
// a key that never left.
//
// No procedure stores personal data of users yet, so the events are appended by
// the library, as a service would. What it does not show: that the rows stay in
// their region, too. That is for CockroachDB's localities
// (pkg/sqldb/localities.go), and no CockroachDB has run here; PostgreSQL is one
// server for all regions.
func (d deployment) testResidency(t *testing.T) {
	user, events := d.appendPersonal(t)
	for _, region := range []string{west, south} {
		stream := mirrorName(east, region)
		harness.Eventually(t, region+" has the events", func() error {
			if n := len(d.stream(t, region, stream, user)); n != len(events) {
				return fmt.Errorf("%d of %d: %w", n, len(events), errNotYet)
			}
			return nil
		})
		for _, m := range d.stream(t, region, stream, user) {
			for _, form := range forms(personal) {
				if bytes.Contains(m.Data, form) {
					t.Errorf("%s has the plain text %q", stream, form)
				}
			}
		}
		// The control. It was appended after the personal data, so it reached the
		// disk after it.
		harness.Eventually(t, "the search finds what is not personal in "+region, func() error {
			if len(search(t, d.RegionFile(region), forms(open))) == 0 {
				return errNotYet
			}
			return nil
		})
		if found := search(t, d.RegionFile(region), forms(personal)); len(found) > 0 {
			t.Errorf("personal data of %s is in %s", east, strings.Join(found, ", "))
		}
		if found := search(t, d.RegionFile(region), regionalKey(t, d.RegionFile(east, "keys", "regional.json"))); len(found) > 0 {
			t.Errorf("the regional key of %s is in %s", east, strings.Join(found, ", "))
		}
		if len(search(t, d.RegionFile(region), regionalKey(t, d.RegionFile(region, "keys", "regional.json")))) == 0 {
			t.Errorf("the search does not find the regional key of %s at home", region)
		}
		if _, err := d.store(t, region).Open(t.Context(), d.database(t, region).Pool(), events[0]); err == nil {
			t.Errorf("%s opens the data of a user of %s", region, east)
		}
	}
	opened, err := d.store(t, east).Open(t.Context(), d.database(t, east).Pool(), events[0])
	if err != nil || opened.ProtoReflect().Get(people().Fields().ByName("email")).String() != personal {
		t.Errorf("%s opens %v, %v", east, opened, err)
	}
}

// people is an event type with a personal field: email is about user.
var people = sync.OnceValue(func() protoreflect.MessageDescriptor {
	text := func(name string, number int32) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &number,
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
		}
	}
	email := text("email", 2)
	email.Options = &descriptorpb.FieldOptions{}
	proto.SetExtension(email.Options, commonv1.E_Personal, "user")
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("residency.proto"), Package: new("residency.v1"), Syntax: new("proto3"),
		Dependency: []string{"meridian/common/v1/options.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: new("UserCreated"), Field: []*descriptorpb.FieldDescriptorProto{text("user", 1), email, text("note", 3)},
		}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		panic(err) // it is the same each time
	}
	return file.Messages().Get(0)
})

// types knows that type only.
type types struct{}

func (types) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if name != people().FullName() {
		return nil, protoregistry.NotFound
	}
	return dynamicpb.NewMessageType(people()), nil
}

func created(user, field, value string) proto.Message {
	m := dynamicpb.NewMessage(people())
	m.Set(people().Fields().ByName("user"), protoreflect.ValueOfString(user))
	m.Set(people().Fields().ByName(protoreflect.Name(field)), protoreflect.ValueOfString(value))
	return m
}

// database is what the nodes of a region are connected to.
func (d deployment) database(t *testing.T, region string) *sqldb.DB {
	t.Helper()
	url, err := os.ReadFile(d.RegionFile(region, "database.url"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(calls(t), sqldb.Config{URL: secret.NewString(strings.TrimSpace(string(url))), MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// store is the log as a node of a region has it: with the region's key.
func (d deployment) store(t *testing.T, region string) *eventlog.Store {
	t.Helper()
	key, err := eventlog.LoadRegionalKey(d.RegionFile(region, "keys", "regional.json"))
	if err != nil {
		t.Fatal(err)
	}
	return eventlog.New(eventlog.Config{
		DB: d.database(t, region), Region: region, Vault: eventlog.NewVault(key), Types: types{},
	})
}

// appendPersonal makes a user who is at home in the first region.
func (d deployment) appendPersonal(t *testing.T) (user string, events []eventlog.Recorded) {
	t.Helper()
	db, store := d.database(t, east), d.store(t, east)
	user = id.New(id.User)
	err := db.Write(calls(t), func(ctx context.Context, tx pgx.Tx) error {
		_, err := store.Append(ctx, tx, eventlog.Append{
			Log: user, HomeRegion: east, Cause: "residency",
			Actor:  &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_OPERATOR, Id: "test"},
			Events: []proto.Message{created(user, "email", personal), created(user, "note", open)},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if events, err = store.Read(calls(t), db.Pool(), user, 1, 10); err != nil || len(events) != 2 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	return user, events
}

// forms are the ways in which a text may be written. In base64 a text looks
// different at each of three offsets; the characters at its ends depend on its
// neighbours, too.
func forms(text string) [][]byte {
	out := [][]byte{
		[]byte(text), []byte(hex.EncodeToString([]byte(text))), []byte(strings.ToUpper(hex.EncodeToString([]byte(text)))),
	}
	for offset := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			encoded := encoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + text))
			out = append(out, []byte(encoded[4:len(encoded)-4]))
		}
	}
	return out
}

// search names the files below a folder that hold one of several things.
func search(t *testing.T, folder string, things [][]byte) (found []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return ignoreAbsent(err)
		}
		content, err := os.ReadFile(path)
		for _, thing := range things {
			if bytes.Contains(content, thing) {
				found = append(found, path)
				break
			}
		}
		return ignoreAbsent(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// ignoreAbsent: servers remove files while the search goes on.
func ignoreAbsent(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// regionalKey reads what is secret in a key file, in its forms.
func regionalKey(t *testing.T, path string) [][]byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Key []struct {
			KeyData struct {
				Value string `json:"value"`
			} `json:"keyData"`
		} `json:"key"`
	}
	if err := json.Unmarshal(content, &file); err != nil || len(file.Key) != 1 {
		t.Fatalf("%s: %d keys, %v", path, len(file.Key), err)
	}
	plain, err := base64.StdEncoding.DecodeString(file.Key[0].KeyData.Value)
	if err != nil {
		t.Fatal(err)
	}
	return append(forms(string(plain)), []byte(file.Key[0].KeyData.Value))
}
