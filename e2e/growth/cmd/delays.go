package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// delays are those of the links between regions, one way, as the proxies have
// them.
func (d *deployment) delays(ctx context.Context) (map[[2]string]time.Duration, error) {
	out := map[[2]string]time.Duration{}
	content, err := os.ReadFile(filepath.Join(d.dir, "dev.json"))
	if err != nil {
		return nil, err
	}
	var ready struct {
		Links string `json:"links"`
	}
	if err := json.Unmarshal(content, &ready); err != nil {
		return nil, err
	}
	for _, from := range d.regions {
		for _, to := range d.regions {
			if from == to {
				continue
			}
			var link struct {
				Toxics []struct {
					Type       string `json:"type"`
					Attributes struct {
						Latency int64 `json:"latency"`
					} `json:"attributes"`
				} `json:"toxics"`
			}
			if err := get(ctx, fmt.Sprintf("%s/proxies/nats:%s:%s:0", ready.Links, from, to), &link); err != nil {
				return nil, err
			}
			for _, toxic := range link.Toxics {
				out[[2]string{from, to}] = time.Duration(toxic.Attributes.Latency) * time.Millisecond
			}
		}
	}
	return out, nil
}

func get(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := probes.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}
