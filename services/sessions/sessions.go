// Package sessions is the sessions service: who is signed in, and the OpenID provider.
package sessions

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tink-crypto/tink-go/v2/tink"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/activity"
	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/outbound"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientauth"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientdoc"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
	"github.com/meridian-iam/meridian/services/sessions/internal/door"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/forget"
	"github.com/meridian-iam/meridian/services/sessions/internal/issuerkeys"
	"github.com/meridian-iam/meridian/services/sessions/internal/keys"
	"github.com/meridian-iam/meridian/services/sessions/internal/kms"
	"github.com/meridian-iam/meridian/services/sessions/internal/logout"
	"github.com/meridian-iam/meridian/services/sessions/internal/oidc"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/people"
	"github.com/meridian-iam/meridian/services/sessions/internal/rpc"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
	"github.com/meridian-iam/meridian/services/sessions/internal/sweep"
)

// Options are what the service needs.
type Options struct {
	Config Config
	DB     *sqldb.DB
	Log    *eventlog.Store
	// Region is where this process runs; Regions are those of the deployment,
	// the platform's home first.
	Region  string
	Regions []string
	// Home knows the ways to the other regions; nil: every write is committed from here.
	Home *home.Router
	// Identity is the client of the identity service.
	Identity *dial.Client
	// MAC is a keyed hash under a key that the regions share; nil: nobody is given
	// anything, and there are no issuers.
	MAC func(purpose, realm, text string) []byte
	// Wrap is the key that private keys are wrapped with in this region: a file's, or that
	// of a key management service.
	Wrap tink.AEAD
	// Delegation says what users may do.
	Delegation principal.Delegation
	// Tokens verifies access tokens of this deployment, whatever they are for.
	Tokens oidc.Tokens
	// Revocations is what this process knows of what ended; nil: there are no issuers, and
	// nobody is told.
	Revocations *Revocations
	// Certificates: the server asks clients for certificates of TLS.
	Certificates bool
	// Activity takes what is refused; nil: nobody does.
	Activity func(activity.Observation)
	Clock    func() time.Time // nil means time.Now
	Logger   *slog.Logger     // nil: nothing is logged
	Metrics  prometheus.Registerer
}

// Revocations is what ended of what access tokens stand for.
type Revocations struct {
	Deny *accesstoken.Deny
	// Complete says up to when Deny has everything; known is false until it is so for the
	// first time.
	Complete func() (until time.Time, known bool)
	// MaxAge is how long ago that may be; absent: accesstoken.DefaultMaxAge.
	MaxAge time.Duration
}

// Service is the sessions service.
type Service struct {
	clients  sessionsv1connect.ClientServiceHandler
	trusts   sessionsv1connect.TrustServiceHandler
	sessions *rpc.Sessions
	themes   *rpc.Themes
	signing  *rpc.Keys
	revoked  *rpc.Revocations // nil: nobody is told
	ring     *keys.Ring
	provider *oidc.Provider
	door     *door.Door
	sweeper  *sweep.Sweeper
	teller   *logout.Teller
	forget   *forget.Forgetter
	home     *home.Router
}

// New wires the service.
//
// Errors: a configuration that is wrong.
func New(o Options) (*Service, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Config = o.Config.withDefaults()
	read, err := o.read()
	if err != nil {
		return nil, fmt.Errorf("sessions.%w", err)
	}
	shown, err := pages.New(pages.Config{})
	if err != nil {
		return nil, err
	}
	identity := ask(o.Identity)
	lives := session.Lives{Idle: o.Config.SessionIdle, Absolute: o.Config.SessionAbsolute}
	s := &Service{
		home:     o.Home,
		ring:     keys.New(keys.Options{DB: o.DB, Log: o.Log, Region: o.Region, PlatformRegion: o.Regions[0], Wrapper: kms.Local{AEAD: o.Wrap}, Clock: o.Clock, Logger: o.Logger}),
		sessions: &rpc.Sessions{DB: o.DB, Log: o.Log, Lives: lives, Clock: o.Clock},
		forget:   forget.New(o.DB, o.Logger),
		sweeper:  &sweep.Sweeper{DB: o.DB, Clock: o.Clock, Logger: o.Logger},
	}
	here := &rpc.Clients{
		DB: o.DB, Log: o.Log, PlatformRegion: o.Regions[0], Clock: o.Clock,
		Organizations: identity.Organizations, ServiceAccounts: identity.Accounts, Delegation: o.Delegation,
	}
	s.clients = rpc.ClientsAtHome(here, o.Home)
	s.sweeper.Unused = func(ctx context.Context, limit int) (int, error) { return here.DeleteUnused(ctx, o.Region, limit) }
	s.trusts = rpc.TrustsAtHome(&rpc.Trusts{Clients: here}, o.Home)
	s.sessions.Clients, s.themes = here, &rpc.Themes{Clients: here}
	s.signing = &rpc.Keys{DB: o.DB, Log: o.Log, Region: o.Region, Regions: o.Regions, Ring: s.ring, Clock: o.Clock}
	if r := o.Revocations; r != nil {
		s.revoked = &rpc.Revocations{Deny: r.Deny, Complete: r.Complete, MaxAge: cmp.Or(r.MaxAge, accesstoken.DefaultMaxAge), Clock: o.Clock}
	}
	s.teller = logout.New(logout.Options{DB: o.DB, Transport: read.abroad, Keys: s.ring, Region: o.Region, Clock: o.Clock, Logger: o.Logger, Metrics: o.Metrics})
	s.provider = &oidc.Provider{
		DB: o.DB, Log: o.Log, Region: o.Region, Clock: o.Clock, Logger: o.Logger, Issuers: read.issuers, Certificates: o.Certificates, Certified: read.certified, Keys: s.ring, Tokens: o.Tokens,
		Secrets: grant.Secrets{MAC: mac(o.MAC)}, Clients: &clientauth.Authenticator{DB: o.DB, Region: o.Region, Clock: o.Clock, Authorities: read.authorities, Documents: read.documents},
		People: &identity, Ender: &ending.Ender{Log: o.Log}, Lives: lives, Pages: shown,
		Registry: s.clients, Documents: read.documents, Refusals: oidc.NewRefusals(o.Logger, o.Metrics, o.Activity), Guesses: serve.NewAddresses(oidc.TypedCodes, o.Clock),
		IssuerKeys: issuerkeys.New(issuerkeys.Options{Transport: read.abroad, Clock: o.Clock, Logger: o.Logger, Metrics: o.Metrics}),
	}
	s.door = &door.Door{
		Authentications: identityv1connect.NewAuthenticationServiceClient(o.Identity.HTTP, o.Identity.BaseURL, o.Identity.Options...),
		Domains:         identityv1connect.NewDomainServiceClient(o.Identity.HTTP, o.Identity.BaseURL, o.Identity.Options...),
		Flow:            s.provider, Pages: shown,
	}
	return s, nil
}

// configured is what the configuration says, as the parts take it.
type configured struct {
	issuers     map[string]string
	authorities *x509.CertPool
	certified   map[string]string // issuers, by the hosts for clients with certificates
	abroad      outbound.Options
	documents   *clientdoc.Documents // nil: of nobody
}

// read reads the configuration, and the files that it names.
func (o Options) read() (c configured, err error) {
	if c.issuers, err = oidc.Issuers(o.Config.Issuers); err != nil {
		return c, err
	}
	if o.MAC == nil && len(c.issuers) > 0 {
		return c, errors.New("issuers: codes and tokens need the key of keys.blind_file, which is absent")
	}
	if c.authorities, err = o.Config.authorities(o.Certificates); err != nil {
		return c, fmt.Errorf("client_authorities_file: %w", err)
	}
	if c.certified, err = o.Config.certificateURLs(c.issuers, o.Certificates); err != nil {
		return c, fmt.Errorf("certificate_urls: %w", err)
	}
	if c.abroad, err = o.Config.Outbound.rules(o.Config.Issuers); err != nil {
		return c, fmt.Errorf("outbound.%w", err)
	}
	offered, err := o.Config.ClientIDMetadataDocuments.offer()
	if err != nil {
		return c, fmt.Errorf("client_id_metadata_documents.%w", err)
	}
	if o.Config.ClientIDMetadataDocuments.Enabled {
		c.documents = clientdoc.New(clientdoc.Options{Transport: c.abroad, Offered: offered, Clock: o.Clock})
	}
	return c, nil
}

// ask are the questions to identity.
func ask(identity *dial.Client) people.People {
	return people.People{
		Users:         identityv1connect.NewUserServiceClient(identity.HTTP, identity.BaseURL, identity.Options...),
		Members:       identityv1connect.NewMembershipServiceClient(identity.HTTP, identity.BaseURL, identity.Options...),
		Organizations: identityv1connect.NewOrganizationServiceClient(identity.HTTP, identity.BaseURL, identity.Options...),
		Accounts:      identityv1connect.NewServiceAccountServiceClient(identity.HTTP, identity.BaseURL, identity.Options...),
		Credentials:   identityv1connect.NewCredentialServiceClient(identity.HTTP, identity.BaseURL, identity.Options...),
		Invitations:   identityv1connect.NewInvitationServiceClient(identity.HTTP, identity.BaseURL, identity.Options...),
		Domains:       identityv1connect.NewDomainServiceClient(identity.HTTP, identity.BaseURL, identity.Options...),
	}
}

// mac is a keyed hash over parts, each with its length.
func mac(index func(purpose, realm, text string) []byte) grant.MAC {
	return func(purpose string, parts ...string) []byte {
		var text []byte
		for _, part := range parts {
			text = binary.AppendUvarint(text, uint64(len(part)))
			text = append(text, part...)
		}
		return index("sessions "+purpose, "", string(text))
	}
}

// Mount adds the service's procedures to a server.
func (s *Service) Mount(mount func(path string, h http.Handler), options ...connect.HandlerOption) {
	mount(sessionsv1connect.NewClientServiceHandler(s.clients, options...))
	mount(sessionsv1connect.NewTrustServiceHandler(s.trusts, options...))
	mount(sessionsv1connect.NewSessionServiceHandler(rpc.SessionsAtHome(s.sessions, s.home), options...))
	mount(sessionsv1connect.NewThemeServiceHandler(rpc.ThemesAtHome(s.themes, s.home), options...))
	mount(sessionsv1connect.NewKeyServiceHandler(rpc.KeysAtHome(s.signing, s.home), options...))
	if s.revoked != nil {
		mount(sessionsv1connect.NewRevocationServiceHandler(s.revoked, options...))
	}
}

// MountHTTP adds what is not Connect to a server: the provider and its pages.
func (s *Service) MountHTTP(server *serve.Server) {
	s.provider.Mount(server)
	s.provider.MountDoor(server, s.door)
}

// Public are the keys whose signatures are taken.
func (s *Service) Public() jose.Keys { return s.ring.Public() }

// Ready says whether tokens can be signed.
func (s *Service) Ready(context.Context) error { return s.ring.Ready() }

// Run does what no call waits for until ctx ends: it makes and changes signing keys, tells
// clients of logouts, and sweeps what has expired.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.ring.Run(ctx) })
	group.Go(func() error { return s.sweeper.Run(ctx) })
	group.Go(func() error { return s.forget.Run(ctx) })
	group.Go(func() error { return s.teller.Run(ctx) })
	return group.Wait()
}

// Hear takes each live event of the log.
func (s *Service) Hear(r eventlog.Recorded) { s.forget.Hear(r) }

// Fold rebuilds this service's rows from a log.
func (s *Service) Fold() eventlog.Fold { return store.Fold{} }
