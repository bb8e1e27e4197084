package store

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

// clientFold rebuilds the rows of an owner's clients; "" owns the platform's.
type clientFold struct {
	owner   string
	clients map[string]*client.State
}

func newClientFold(owner string) *clientFold {
	return &clientFold{owner: owner, clients: map[string]*client.State{}}
}

func (f *clientFold) apply(event proto.Message) bool {
	switch e := event.(type) {
	case *eventv1.ClientCreated:
		f.clients[e.GetClient()] = &client.State{}
		f.clients[e.GetClient()].Apply(e)
	case *eventv1.ClientDeleted:
		delete(f.clients, e.GetClient())
	case *eventv1.ClientSettingsChanged, *eventv1.ClientDisabled, *eventv1.ClientEnabled,
		*eventv1.ClientSecretAdded, *eventv1.ClientSecretExpiryChanged, *eventv1.ClientSecretRevoked:
		about, _ := event.(interface{ GetClient() string })
		if c := f.clients[about.GetClient()]; c != nil {
			c.Apply(event)
		}
	case *eventv1.ClientTokenRevoked: // no row has it
	default:
		return false
	}
	return true
}

func (f *clientFold) compare(ctx context.Context, q sqldb.Querier) (string, error) {
	const page = 200
	rows := 0
	for after := ""; ; {
		clients, err := ListClients(ctx, q, f.owner, after, page)
		if err != nil {
			return "", err
		}
		for _, row := range clients {
			if want := f.clients[row.ID]; want == nil || !row.Equal(*want) {
				return fmt.Sprintf("client row %s differs from the log", row.ID), nil
			}
		}
		rows += len(clients)
		if len(clients) < page {
			break
		}
		after = clients[len(clients)-1].ID
	}
	if rows != len(f.clients) {
		return fmt.Sprintf("%d client rows, log says %d", rows, len(f.clients)), nil
	}
	return "", nil
}
