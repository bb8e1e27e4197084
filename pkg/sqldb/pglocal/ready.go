package pglocal

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// ready waits until a client is served and makes the database "meridian". It
// ends early when the server ends.
func ready(ctx context.Context, p *process, admin secret.String) error {
	conn, err := answering(ctx, p, admin)
	if err != nil {
		return err
	}
	return makeDatabase(ctx, conn)
}

// answering waits until a client is served.
func answering(ctx context.Context, p *process, admin secret.String) (*pgx.Conn, error) {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		conn, err := pgx.Connect(ctx, admin.Reveal())
		if err == nil {
			return conn, nil
		}
		select {
		case <-p.exited:
			return nil, fmt.Errorf("the server ended: %w: %s", p.err, p.output.tail())
		case <-ctx.Done():
			return nil, fmt.Errorf("the server does not answer: %w: %s", ctx.Err(), p.output.tail())
		case <-ticker.C:
		}
	}
}

func makeDatabase(ctx context.Context, conn *pgx.Conn) error {
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	const known = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1)"
	if err := conn.QueryRow(ctx, known, database).Scan(&exists); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+database); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}
