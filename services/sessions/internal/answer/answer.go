// Package answer writes what the endpoints of OAuth answer.
package answer

import (
	"encoding/json"
	"net/http"
)

// Codes of errors.
//
// Source: RFC 6749 section 5.2; RFC 8707 section 2; RFC 9449 sections 5 and 8; RFC 6750
// section 3.1; OpenID Connect Core 1.0 section 3.1.2.6; RFC 7591 section 3.2.2.
const (
	InvalidRequest       = "invalid_request"
	InvalidClient        = "invalid_client"
	InvalidGrant         = "invalid_grant"
	InvalidScope         = "invalid_scope"
	InvalidTarget        = "invalid_target"
	InvalidToken         = "invalid_token"
	InvalidProof         = "invalid_dpop_proof"
	UseNonce             = "use_dpop_nonce"
	UnauthorizedClient   = "unauthorized_client"
	UnsupportedGrantType = "unsupported_grant_type"
	AccessDenied         = "access_denied"
	ServerError          = "server_error"
	Unavailable          = "temporarily_unavailable"
	SlowDown             = "slow_down"

	InvalidRedirectURI       = "invalid_redirect_uri"
	InvalidClientMetadata    = "invalid_client_metadata"
	InvalidSoftwareStatement = "invalid_software_statement"
)

// Error is an answer that refuses.
type Error struct {
	// Status is of HTTP; 0: 400.
	Status int
	// Code and Description are for the client's developer. The description quotes
	// nothing of the request.
	Code, Description string
	// Challenge is the header WWW-Authenticate, or "".
	Challenge string
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Description }

// Refuse is an Error of status 400.
func Refuse(code, description string) *Error { return &Error{Code: code, Description: description} }

// WriteTo writes the answer.
func (e *Error) WriteTo(w http.ResponseWriter) error {
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	if e.Challenge != "" {
		w.Header().Set("WWW-Authenticate", e.Challenge)
	}
	return JSON(w, status, struct {
		Code        string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, e.Description})
}

// JSON writes a document that nobody may keep.
func JSON(w http.ResponseWriter, status int, document any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(document)
}

// Document writes a document that may be kept; its headers are the caller's.
func Document(w http.ResponseWriter, document any) error {
	return json.NewEncoder(w).Encode(document)
}
