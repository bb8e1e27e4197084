package target

import (
	"encoding/json"
	"fmt"
	"os"
)

// readState reads what an earlier load wrote down.
func readState(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read state %s: %w", path, err)
	}
	return nil
}

// writeState writes it down; nowhere when there is no path.
func writeState(path string, state any) error {
	if path == "" {
		return nil
	}
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}
