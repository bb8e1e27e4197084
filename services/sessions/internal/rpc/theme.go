package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/principal"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// Themes serves ThemeService.
type Themes struct {
	// Clients knows the logs of organizations.
	Clients *Clients
}

var _ sessionsv1connect.ThemeServiceHandler = (*Themes)(nil)

// GetTheme implements ThemeService.
func (s *Themes) GetTheme(ctx context.Context, req *sessionsv1.GetThemeRequest) (*sessionsv1.GetThemeResponse, error) {
	if err := s.Clients.there(ctx, req.GetOrganization()); err != nil {
		return nil, err
	}
	row, err := store.FindTheme(ctx, s.Clients.DB.Pool(), req.GetOrganization())
	if err != nil {
		return nil, err
	}
	return &sessionsv1.GetThemeResponse{Theme: &sessionsv1.Theme{Name: row.Name, Color: row.Color}}, nil
}

// PutTheme implements ThemeService.
func (s *Themes) PutTheme(ctx context.Context, req *sessionsv1.PutThemeRequest) (*sessionsv1.PutThemeResponse, error) {
	theme := req.GetTheme()
	out := &sessionsv1.PutThemeResponse{}
	_, err := commit.Once(ctx, s.Clients.Log, req.GetOrganization(), sessionsv1connect.ThemeServicePutThemeProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			head, err := s.Clients.lock(ctx, tx, req.GetOrganization())
			if err != nil {
				return err
			}
			before, err := store.FindTheme(ctx, tx, req.GetOrganization())
			if err != nil {
				return err
			}
			var events []proto.Message
			if before.Name != theme.GetName() || before.Color != theme.GetColor() {
				events = append(events, &eventv1.ThemeChanged{Organization: req.GetOrganization(), Name: theme.GetName(), Color: theme.GetColor()})
				err = store.PutTheme(ctx, tx, store.Theme{
					Organization: req.GetOrganization(), Name: theme.GetName(), Color: theme.GetColor(), HomeRegion: head.HomeRegion,
				})
				if err != nil {
					return err
				}
			}
			out.Theme = theme
			out.Revision, err = commit.Append(ctx, tx, s.Clients.Log, head, caller, events)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// themesAtHome serves ThemeService with writes executed at home.
type themesAtHome struct {
	*Themes

	peers *home.Peers[sessionsv1connect.ThemeServiceClient]
}

// ThemesAtHome serves ThemeService with writes executed at home.
func ThemesAtHome(s *Themes, ways *home.Router) sessionsv1connect.ThemeServiceHandler {
	return &themesAtHome{s, home.Clients(ways, sessionsv1connect.NewThemeServiceClient)}
}

// PutTheme implements ThemeService.
func (s *themesAtHome) PutTheme(ctx context.Context, req *sessionsv1.PutThemeRequest) (*sessionsv1.PutThemeResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, sessionsv1connect.ThemeServiceClient.PutTheme, s.Themes.PutTheme)
}
