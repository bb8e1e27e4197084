package serve_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
)

// procedures calls fn for every method of every meridian service.
func procedures(fn func(service protoreflect.ServiceDescriptor, method protoreflect.MethodDescriptor)) {
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(file.Package()), "meridian.") {
			return true
		}
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				fn(service, service.Methods().Get(j))
			}
		}
		return true
	})
}

func TestEveryProcedureDeclaresAccess(t *testing.T) {
	t.Parallel()
	count := 0
	procedures(func(_ protoreflect.ServiceDescriptor, method protoreflect.MethodDescriptor) {
		count++
		access, _ := proto.GetExtension(method.Options(), commonv1.E_Access).(*commonv1.Access)
		if access.GetScope() == commonv1.Scope_SCOPE_UNSPECIFIED || access.GetLevel() == commonv1.Level_LEVEL_UNSPECIFIED {
			t.Errorf("%s declares no access", method.FullName())
		}
		if access.GetScope() != commonv1.Scope_SCOPE_ORGANIZATION {
			return
		}
		field := method.Input().Fields().ByName("organization")
		if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
			t.Errorf("%s is about an organization, and its request names none", method.FullName())
		}
	})
	if count < 10 {
		t.Errorf("only %d procedures: this proves nothing", count)
	}
}

func TestAnonymousIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	guesses := serve.Limits{Guess: serve.Rate{PerSecond: 1000, Burst: 10_000}}
	s := start(t, setup{prepare: mountEverything, config: serve.Config{Limits: guesses}})
	procedures(func(_ protoreflect.ServiceDescriptor, method protoreflect.MethodDescriptor) {
		for token, want := range map[string]commonv1.Reason{"": commonv1.Reason_TOKEN_MISSING, "stranger": commonv1.Reason_TOKEN_REJECTED, "eyJ.e30.": commonv1.Reason_TOKEN_REJECTED} {
			if f := faultconnect.FromConnect(callDynamic(t, s, token, method)); f == nil || f.Reason != want {
				t.Errorf("%s with token %q: %v, want %v", method.FullName(), token, f, want)
			}
		}
	})
}

func TestImportNamesOneOrganization(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	for name, c := range map[string]struct {
		token string
		names []string
		want  commonv1.Reason
	}{
		"own, then empty":         {"acme-admin", []string{acme, "", acme}, commonv1.Reason_REASON_UNSPECIFIED},
		"platform":                {"platform-admin", []string{acme, ""}, commonv1.Reason_REASON_UNSPECIFIED},
		"another's":               {"other-admin", []string{acme}, commonv1.Reason_NOT_FOUND},
		"own, then another's":     {"acme-admin", []string{acme, other}, commonv1.Reason_INVALID_FIELD},
		"platform, then another":  {"platform-admin", []string{acme, other}, commonv1.Reason_INVALID_FIELD},
		"none at first":           {"acme-admin", []string{"", acme}, commonv1.Reason_INVALID_FIELD},
		"none at first, platform": {"platform-admin", []string{"", acme}, commonv1.Reason_INVALID_FIELD},
		"level too low":           {"acme-read", []string{acme}, commonv1.Reason_ACCESS_DENIED},
		"anonymous":               {"", []string{acme}, commonv1.Reason_TOKEN_MISSING},
	} {
		client := authzv1connect.NewRelationshipServiceClient(httpClient(t, c.token, true), s.url)
		stream, err := client.ImportRelationships(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, organization := range c.names {
			err := stream.Send(&authzv1.ImportRelationshipsRequest{Organization: organization, Relationships: relationship("a")})
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		answer, err := stream.CloseAndReceive()
		if c.want == commonv1.Reason_REASON_UNSPECIFIED {
			if err != nil || answer.GetCreated() != uint64(len(c.names)) {
				t.Errorf("%s: %v, %v", name, answer, err)
			}
			continue
		}
		if f := faultconnect.FromConnect(err); f == nil || f.Reason != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestServiceTokens(t *testing.T) {
	t.Parallel()
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, setup{key: key, prepare: mountEverything})
	const audience = "meridian.identity.v1.ApiTokenService"
	method := verifyMethod(t)
	for name, c := range map[string]struct {
		audience string
		want     fault.Kind
	}{
		"for this service":    {audience, 0},
		"for another service": {"meridian.authz.v1.CheckService", fault.Unauthenticated},
	} {
		bearer, err := key.Mint("authz", c.audience, nil)
		if err != nil {
			t.Fatal(err)
		}
		f := faultconnect.FromConnect(callDynamic(t, s, bearer.Reveal(), method))
		if c.want == 0 && f != nil || c.want != 0 && (f == nil || f.Kind != c.want) {
			t.Errorf("%s: %v", name, f)
		}
	}
	if f := faultconnect.FromConnect(callDynamic(t, s, "platform-admin", method)); f == nil || f.Reason != commonv1.Reason_ACCESS_DENIED {
		t.Errorf("an API token for a procedure of services: %v", f)
	}
}

func verifyMethod(t *testing.T) protoreflect.MethodDescriptor {
	t.Helper()
	found, err := protoregistry.GlobalFiles.FindDescriptorByName("meridian.identity.v1.ApiTokenService.VerifyApiToken")
	if err != nil {
		t.Fatal(err)
	}
	return found.(protoreflect.MethodDescriptor)
}

func relationship(name string) []*authzv1.Relationship {
	return []*authzv1.Relationship{{Resource: "document:" + name, Relation: "viewer", Subject: "user:a"}}
}
