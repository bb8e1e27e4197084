package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/home"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

type (
	authenticationsAtHome struct {
		*Authentications

		peers *home.Peers[identityv1connect.AuthenticationServiceClient]
	}
	credentialsAtHome struct {
		*Credentials

		peers *home.Peers[identityv1connect.CredentialServiceClient]
	}
)

// AuthenticationsAtHome serves AuthenticationService. Steps are taken here, wherever
// the user is at home: see Authentications. Two are not, which need the regional key
// of another region.
func AuthenticationsAtHome(s *Authentications, ways *home.Router) identityv1connect.AuthenticationServiceHandler {
	return &authenticationsAtHome{s, home.Clients(ways, identityv1connect.NewAuthenticationServiceClient)}
}

// CredentialsAtHome serves CredentialService with writes executed at the user's home.
func CredentialsAtHome(s *Credentials, ways *home.Router) identityv1connect.CredentialServiceHandler {
	return &credentialsAtHome{s, home.Clients(ways, identityv1connect.NewCredentialServiceClient)}
}

// ContinueAuthentication implements AuthenticationService. The seed of a TOTP can be
// opened at the user's home only. Somebody has proved something else before, so it
// is known who it is.
func (s *authenticationsAtHome) ContinueAuthentication(
	ctx context.Context, req *identityv1.ContinueAuthenticationRequest,
) (*identityv1.ContinueAuthenticationResponse, error) {
	if _, totp := req.GetProof().(*identityv1.ContinueAuthenticationRequest_Totp); totp && s.peers != nil {
		a, err := s.look(ctx, req)
		if err != nil {
			return nil, err
		}
		if a.state.User != "" && len(a.state.Done) > 0 || a.state.Purpose == identityv1.Purpose_PURPOSE_STEP_UP {
			return home.Send(ctx, s.peers, a.state.User, req,
				identityv1connect.AuthenticationServiceClient.ContinueAuthentication, s.Authentications.ContinueAuthentication)
		}
	}
	return s.Authentications.ContinueAuthentication(ctx, req)
}

// FinishAuthentication implements AuthenticationService. A user who signs up with an
// organization that keeps its users apart is made at the organization's home.
func (s *authenticationsAtHome) FinishAuthentication(
	ctx context.Context, req *identityv1.FinishAuthenticationRequest,
) (*identityv1.FinishAuthenticationResponse, error) {
	if s.peers != nil {
		a, err := s.look(ctx, req)
		if err == nil && a.state.Purpose == identityv1.Purpose_PURPOSE_SIGN_UP && a.state.Realm != "" {
			return home.Send(ctx, s.peers, a.state.Realm, req,
				identityv1connect.AuthenticationServiceClient.FinishAuthentication, s.Authentications.FinishAuthentication)
		}
	}
	return s.Authentications.FinishAuthentication(ctx, req)
}

// SetPassword implements CredentialService.
func (s *credentialsAtHome) SetPassword(ctx context.Context, req *identityv1.SetPasswordRequest) (*identityv1.SetPasswordResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.CredentialServiceClient.SetPassword, s.Credentials.SetPassword)
}

// BeginPasskey implements CredentialService.
func (s *credentialsAtHome) BeginPasskey(ctx context.Context, req *identityv1.BeginPasskeyRequest) (*identityv1.BeginPasskeyResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.CredentialServiceClient.BeginPasskey, s.Credentials.BeginPasskey)
}

// FinishPasskey implements CredentialService.
func (s *credentialsAtHome) FinishPasskey(
	ctx context.Context, req *identityv1.FinishPasskeyRequest,
) (*identityv1.FinishPasskeyResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.CredentialServiceClient.FinishPasskey, s.Credentials.FinishPasskey)
}

// BeginTotp implements CredentialService.
func (s *credentialsAtHome) BeginTotp(ctx context.Context, req *identityv1.BeginTotpRequest) (*identityv1.BeginTotpResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.CredentialServiceClient.BeginTotp, s.Credentials.BeginTotp)
}

// FinishTotp implements CredentialService.
func (s *credentialsAtHome) FinishTotp(ctx context.Context, req *identityv1.FinishTotpRequest) (*identityv1.FinishTotpResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.CredentialServiceClient.FinishTotp, s.Credentials.FinishTotp)
}

// IssueRecoveryCodes implements CredentialService.
func (s *credentialsAtHome) IssueRecoveryCodes(
	ctx context.Context, req *identityv1.IssueRecoveryCodesRequest,
) (*identityv1.IssueRecoveryCodesResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req,
		identityv1connect.CredentialServiceClient.IssueRecoveryCodes, s.Credentials.IssueRecoveryCodes)
}

// RenameCredential implements CredentialService.
func (s *credentialsAtHome) RenameCredential(
	ctx context.Context, req *identityv1.RenameCredentialRequest,
) (*identityv1.RenameCredentialResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.CredentialServiceClient.RenameCredential, s.Credentials.RenameCredential)
}

// DeleteCredential implements CredentialService.
func (s *credentialsAtHome) DeleteCredential(
	ctx context.Context, req *identityv1.DeleteCredentialRequest,
) (*identityv1.DeleteCredentialResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.CredentialServiceClient.DeleteCredential, s.Credentials.DeleteCredential)
}
