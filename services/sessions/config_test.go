package sessions

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestClientDocuments(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		config Config
		taken  bool
		wrong  string
	}{
		"absent":                  {Config{}, false, ""},
		"on":                      {Config{ClientIDMetadataDocuments: true}, true, ""},
		"on, in a network":        {Config{ClientIDMetadataDocuments: true, ClientDocumentNetworks: []string{"10.20.0.0/16", "fd00::/8"}}, true, ""},
		"no network":              {Config{ClientIDMetadataDocuments: true, ClientDocumentNetworks: []string{"10.20.0.1"}}, false, "client_document_networks: "},
		"no certificate":          {Config{ClientIDMetadataDocuments: true, ClientDocumentAuthoritiesFile: empty}, false, "client_document_authorities_file: "},
		"no file":                 {Config{ClientIDMetadataDocuments: true, ClientDocumentAuthoritiesFile: empty + "x"}, false, "client_document_authorities_file: "},
		"off, with more":          {Config{ClientDocumentNetworks: []string{"10.0.0.0/8"}}, false, "client_id_metadata_documents: "},
		"an authority of clients": {Config{ClientAuthoritiesFile: empty}, false, "client_authorities_file: "},
	} {
		_, documents, err := tc.config.clients(false, time.Now)
		if (documents != nil) != tc.taken || (err != nil) != (tc.wrong != "") || err != nil && !strings.HasPrefix(err.Error(), tc.wrong) {
			t.Errorf("%s: %v, %v", name, documents != nil, err)
		}
	}
}
