// Package clientdoc knows the clients that nobody registered: their client_id is the URL
// of a document in which they describe themselves. It fetches the document, and holds it
// for as long as its server lets it; nothing of it is stored.
//
// Source: draft-ietf-oauth-client-id-metadata-document.
package clientdoc

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/outbound"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

const (
	// timeout bounds all of a fetch.
	timeout = 5 * time.Second
	// pause is for how long a URL is left alone that had no good document: nothing of the
	// answer is kept but that there was none.
	pause = 10 * time.Second
	// maxHeld is how many documents, and URLs without one, are held.
	maxHeld = 1000
)

// Error is why there is no client at a URL. Its text is for the client's developers,
// and quotes nothing.
type Error struct{ Why string }

// Error implements error.
func (e *Error) Error() string { return "the client's document is refused: " + e.Why }

// Options are what Documents need.
type Options struct {
	// Transport says whom documents may be fetched from.
	Transport outbound.Options
	// Offered is what all such clients may ask for beside who somebody is.
	Offered client.Offer
	Clock   func() time.Time // nil means time.Now
}

// Documents are the clients that describe themselves. Its methods may be called from many
// goroutines. Nil knows none.
type Documents struct {
	clock   func() time.Time
	http    *http.Client
	timeout time.Duration
	offered client.Offer
	flights singleflight.Group
	limits  limits

	mu   sync.Mutex
	held map[string]held
}

// held is what is known of a URL until a time: a client, or that there is none.
type held struct {
	settings *eventv1.ClientSettings
	err      error
	until    time.Time
}

// New returns the documents of this process.
func New(o Options) *Documents {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Documents{clock: o.Clock, http: newHTTP(o.Transport), timeout: timeout, offered: o.Offered, held: map[string]held{}}
}

// Client is the client that describes itself at a URL, a client of the platform; the zero
// one where the id is no such URL.
//
// Errors: *Error where no client describes itself there; SERVICE_UNAVAILABLE where that
// is not known now.
func (d *Documents) Client(ctx context.Context, url string) (store.Client, error) {
	if d == nil || !client.IsDocument(url) {
		return store.Client{}, nil
	}
	known, ok := d.known(url)
	if !ok {
		// Whoever waits for a document waits for the same fetch; it goes on for the others when
		// one of them leaves.
		flight := d.flights.DoChan(url, func() (any, error) { return d.once(context.WithoutCancel(ctx), url), nil })
		select {
		case <-ctx.Done():
			return store.Client{}, unavailable()
		case landed := <-flight:
			known, _ = landed.Val.(held)
		}
	}
	if known.err != nil {
		return store.Client{}, known.err
	}
	return store.Client{State: client.State{ID: url, Settings: proto.CloneOf(known.settings)}}, nil
}

// known is what is known of a URL without asking.
func (d *Documents) known(url string) (held, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h, ok := d.held[url]
	return h, ok && d.clock().Before(h.until)
}

// once fetches a document, unless somebody just has, and holds what came of it.
func (d *Documents) once(ctx context.Context, url string) held {
	if h, ok := d.known(url); ok {
		return h
	}
	leave, ok := d.limits.enter(uri.DocumentName(url), d.clock())
	if !ok {
		return held{err: unavailable()} // not its fault: it is tried again at once
	}
	defer leave()
	settings, life, err := d.fetch(ctx, url)
	if err != nil {
		life = pause
	}
	h := held{settings: settings, err: err, until: d.clock().Add(life)}
	d.hold(url, h)
	return h
}

// hold holds what came of a fetch. Where there is no room, what is over goes, and then
// any: it is fetched again.
func (d *Documents) hold(url string, h held) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock()
	for other, h := range d.held {
		if len(d.held) < maxHeld {
			break
		}
		if !now.Before(h.until) {
			delete(d.held, other)
		}
	}
	for other := range d.held {
		if len(d.held) < maxHeld {
			break
		}
		delete(d.held, other)
	}
	d.held[url] = h
}

// unavailable says that it is not known now who a client is.
func unavailable() *fault.Fault {
	return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "the client's document cannot be fetched now").Retry(pause)
}
