package isolation_test

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/id"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// sessionsRequests are those of sessions' methods.
var sessionsRequests = map[string]func(p place) proto.Message{
	"ClientService.CreateClient": func(p place) proto.Message {
		return &sessionsv1.CreateClientRequest{Organization: p.organization, Settings: machine(), IdempotencyKey: p.key()}
	},
	"ClientService.GetClient": func(p place) proto.Message {
		return &sessionsv1.GetClientRequest{Organization: p.organization, Client: p.newClient(p.organization).GetId()}
	},
	"ClientService.ListClients": func(p place) proto.Message { return &sessionsv1.ListClientsRequest{Organization: p.organization} },
	"ClientService.UpdateClient": func(p place) proto.Message {
		return &sessionsv1.UpdateClientRequest{
			Organization: p.organization, Client: p.newClient(p.organization).GetId(), Disabled: new(true), IdempotencyKey: p.key(),
		}
	},
	"ClientService.DeleteClient": func(p place) proto.Message {
		return &sessionsv1.DeleteClientRequest{Organization: p.organization, Client: p.newClient(p.organization).GetId(), IdempotencyKey: p.key()}
	},
	"ClientService.AddClientSecret": func(p place) proto.Message {
		return &sessionsv1.AddClientSecretRequest{Organization: p.organization, Client: p.newClient(p.organization).GetId(), IdempotencyKey: p.key()}
	},
	"ClientService.RevokeClientSecret": func(p place) proto.Message {
		made := p.newClient(p.organization)
		return &sessionsv1.RevokeClientSecretRequest{
			Organization: p.organization, Client: made.GetId(), Secret: made.GetSecrets()[0].GetId(), IdempotencyKey: p.key(),
		}
	},
	"ClientService.BlockClient": func(p place) proto.Message {
		return &sessionsv1.BlockClientRequest{Organization: p.organization, Client: "https://agent.example/client.json", IdempotencyKey: p.key()}
	},
	"ClientService.UnblockClient": func(p place) proto.Message {
		return &sessionsv1.UnblockClientRequest{Organization: p.organization, Client: "https://agent.example/client.json", IdempotencyKey: p.key()}
	},
	"ClientService.ListBlockedClients": func(p place) proto.Message {
		return &sessionsv1.ListBlockedClientsRequest{Organization: p.organization}
	},

	"TrustService.CreateTrust": func(p place) proto.Message {
		return &sessionsv1.CreateTrustRequest{Organization: p.organization, Settings: trusting(p.newAccount(p.organization)), IdempotencyKey: p.key()}
	},
	"TrustService.GetTrust": func(p place) proto.Message {
		return &sessionsv1.GetTrustRequest{Organization: p.organization, Trust: p.newTrust(p.organization)}
	},
	"TrustService.ListTrusts": func(p place) proto.Message { return &sessionsv1.ListTrustsRequest{Organization: p.organization} },
	"TrustService.UpdateTrust": func(p place) proto.Message {
		return &sessionsv1.UpdateTrustRequest{
			Organization: p.organization, Trust: p.newTrust(p.organization), Settings: trusting(p.newAccount(p.organization)), IdempotencyKey: p.key(),
		}
	},
	"TrustService.DeleteTrust": func(p place) proto.Message {
		return &sessionsv1.DeleteTrustRequest{Organization: p.organization, Trust: p.newTrust(p.organization), IdempotencyKey: p.key()}
	},

	"SessionService.ListSessions": func(p place) proto.Message { return &sessionsv1.ListSessionsRequest{User: p.newUser()} },
	"SessionService.RevokeSession": func(p place) proto.Message {
		return &sessionsv1.RevokeSessionRequest{User: p.newUser(), Session: id.New(id.Session), IdempotencyKey: p.key()}
	},
	"SessionService.RevokeSessions": func(p place) proto.Message {
		return &sessionsv1.RevokeSessionsRequest{User: p.newUser(), IdempotencyKey: p.key()}
	},
	"SessionService.RevokeTokens": func(p place) proto.Message {
		return &sessionsv1.RevokeTokensRequest{Organization: p.organization, Client: p.newClient(p.organization).GetId(), IdempotencyKey: p.key()}
	},
	"SessionService.ListGrants":  func(p place) proto.Message { return &sessionsv1.ListGrantsRequest{User: p.newUser()} },
	"SessionService.ListLogouts": func(p place) proto.Message { return &sessionsv1.ListLogoutsRequest{User: p.newUser()} },
	"SessionService.RevokeGrant": func(p place) proto.Message {
		return &sessionsv1.RevokeGrantRequest{User: p.newUser(), Grant: id.New(id.Grant), IdempotencyKey: p.key()}
	},

	"ThemeService.GetTheme": func(p place) proto.Message { return &sessionsv1.GetThemeRequest{Organization: p.organization} },
	"ThemeService.PutTheme": func(p place) proto.Message {
		return &sessionsv1.PutThemeRequest{Organization: p.organization, Theme: &sessionsv1.Theme{Color: "2563eb"}, IdempotencyKey: p.key()}
	},

	"RevocationService.WatchRevocations": func(place) proto.Message { return &sessionsv1.WatchRevocationsRequest{} },

	"KeyService.ListSigningKeys": func(place) proto.Message { return &sessionsv1.ListSigningKeysRequest{} },
	"KeyService.RotateSigningKey": func(p place) proto.Message {
		return &sessionsv1.RotateSigningKeyRequest{Region: "eu-west", Algorithm: "ES256", Emergency: true, IdempotencyKey: p.key()}
	},
}

// machine are settings of a client that gets tokens for itself.
func machine() *sessionsv1.ClientSettings {
	return &sessionsv1.ClientSettings{
		Name: "Made", Authentication: sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_BASIC,
		GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS},
	}
}

// trusting are settings of a trust whose workloads get tokens of a service account. The
// key is that of RFC 7515, appendix A.3.
func trusting(account string) *sessionsv1.TrustSettings {
	return &sessionsv1.TrustSettings{
		Name: "Made", Issuer: "https://cluster.example.com", Audience: "meridian", Subject: "system:serviceaccount:production:deployer",
		Jwks: `{"keys":[{"kty":"EC","crv":"P-256","kid":"1",` +
			`"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`,
		ServiceAccount: account,
	}
}

// sessionsRequestOf returns how to call a method of sessions.
func sessionsRequestOf(name string) (func(p place) proto.Message, bool) {
	request, ok := sessionsRequests[strings.TrimPrefix(name, "meridian.sessions.v1.")]
	return request, ok
}
