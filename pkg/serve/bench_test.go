package serve_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"

	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/telemetry"
)

// BenchmarkCall compares a call through everything with a call of connect alone,
// both over loopback, binary, with the same client.
func BenchmarkCall(b *testing.B) {
	bare := func(b *testing.B) string {
		b.Helper()
		mux := http.NewServeMux()
		mux.Handle(identityv1connect.NewOrganizationServiceHandler(&organizations{}, connect.WithCompressMinBytes(1024)))
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		protocols.SetUnencryptedHTTP2(true)
		s := httptest.NewUnstartedServer(mux)
		s.Config.Protocols = protocols
		s.Start()
		b.Cleanup(s.Close)
		return s.URL
	}
	unlimited := serve.Limits{Read: serve.Rate{PerSecond: -1}}
	for name, url := range map[string]func(b *testing.B) string{
		"echo": bare,
		"chain": func(b *testing.B) string {
			b.Helper()
			return start(b, setup{quiet: true, config: serve.Config{Limits: unlimited}}).url
		},
		"chain-errors-logged": func(b *testing.B) string {
			b.Helper()
			return start(b, setup{quiet: true, config: serve.Config{Limits: unlimited, AccessLog: "errors"}}).url
		},
	} {
		for protocol, http2 := range map[string]bool{"HTTP1": false, "h2c": true} {
			b.Run(name+"/"+protocol, func(b *testing.B) {
				c := identityv1connect.NewOrganizationServiceClient(httpClient(b, "acme-read", http2), url(b), connect.WithCompressMinBytes(1024))
				call(b, c)
			})
		}
	}
	b.Run("in-process", func(b *testing.B) {
		s := start(b, setup{quiet: true, config: serve.Config{Limits: unlimited}})
		inside := &http.Client{Transport: bearing{"acme-read", pipeTransport{s.Client()}}}
		call(b, identityv1connect.NewOrganizationServiceClient(inside, "http://in-process"))
	})
}

// BenchmarkAccessToken is the same for a call with an access token, which costs no more
// because others are bound to keys; the proofs of those are verified one by one.
func BenchmarkAccessToken(b *testing.B) {
	p, own := newProvider(b), newProver(b)
	schema := identityv1.File_meridian_identity_v1_organization_service_proto.Services().ByName("OrganizationService").Methods().ByName("UpdateOrganization")
	s := serve.New(serve.Options{
		Config: serve.Config{Limits: serve.Limits{Manage: serve.Rate{PerSecond: -1}}}, Verifier: known, AccessTokens: p, Delegation: settings(p.user),
		Resource: ourAPI, Telemetry: telemetry.Discard(),
	})
	s.Mount("/meridian.identity.v1.OrganizationService/UpdateOrganization", connect.NewUnaryHandlerSimple(
		updateProcedure, new(updater).UpdateOrganization, append(s.HandlerOptions(), connect.WithSchema(schema))...))
	body, err := proto.Marshal(&identityv1.UpdateOrganizationRequest{Organization: acme, IdempotencyKey: "k"})
	if err != nil {
		b.Fatal(err)
	}
	serveOne := func(b *testing.B, authorization string, proof func() []string) {
		b.Helper()
		b.ReportAllocs()
		for b.Loop() {
			request := httptest.NewRequest(http.MethodPost, api+updateProcedure, bytes.NewReader(body))
			request.Header = http.Header{"Content-Type": {"application/proto"}, "Authorization": {authorization}, "Dpop": proof()}
			recorder := httptest.NewRecorder()
			s.Handler().ServeHTTP(recorder, request)
			if recorder.Code != http.StatusOK {
				b.Fatal(recorder.Code, recorder.Body)
			}
		}
	}
	b.Run("unbound", func(b *testing.B) {
		serveOne(b, "Bearer "+p.token(), func() []string { return nil })
	})
	b.Run("bound", func(b *testing.B) {
		token := p.token(own.bound())
		serveOne(b, "DPoP "+token, func() []string {
			b.StopTimer()
			defer b.StartTimer()
			return []string{own.proof(token, http.MethodPost, api+updateProcedure)}
		})
	})
}

func call(b *testing.B, c identityv1connect.OrganizationServiceClient) {
	b.Helper()
	if err := get(b.Context(), c, acme); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := get(context.Background(), c, acme); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkServeHTTP leaves out the network and the client: what admission and
// the chain add to the work of the server.
func BenchmarkServeHTTP(b *testing.B) {
	body, err := proto.Marshal(&identityv1.GetOrganizationRequest{Organization: acme})
	if err != nil {
		b.Fatal(err)
	}
	serveOne := func(b *testing.B, handler http.Handler) {
		b.Helper()
		b.ReportAllocs()
		for b.Loop() {
			request := httptest.NewRequest(http.MethodPost, identityv1connect.OrganizationServiceGetOrganizationProcedure, bytes.NewReader(body))
			request.Header.Set("Content-Type", "application/proto")
			request.Header.Set("Authorization", "Bearer acme-read")
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			if recorder.Code != http.StatusOK {
				b.Fatal(recorder.Code, recorder.Body)
			}
		}
	}
	b.Run("echo", func(b *testing.B) {
		_, handler := identityv1connect.NewOrganizationServiceHandler(&organizations{}, connect.WithCompressMinBytes(1024))
		serveOne(b, handler)
	})
	for name, config := range map[string]serve.Config{
		"chain":               {Limits: serve.Limits{Read: serve.Rate{PerSecond: 1e12}}},
		"chain-errors-logged": {AccessLog: "errors", Limits: serve.Limits{Read: serve.Rate{PerSecond: 1e12}}},
	} {
		b.Run(name, func(b *testing.B) {
			observed := telemetry.Discard()
			observed.Log = slog.New(telemetry.WithTrace(slog.DiscardHandler))
			s := serve.New(serve.Options{Config: config, Verifier: known, Telemetry: observed})
			s.Mount(identityv1connect.NewOrganizationServiceHandler(&organizations{}, s.HandlerOptions()...))
			serveOne(b, s.Handler())
		})
	}
}
