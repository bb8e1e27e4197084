package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/emersion/go-smtp"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// The stages of sending, as a DeliveryError names them.
const (
	stageTurn      = "turn"     // others are being sent
	stageConnect   = "connect"  // TCP, and TLS of smtps
	stageTLS       = "starttls" // greeting and STARTTLS
	stageHello     = "hello"    // EHLO, and the handshake after STARTTLS
	stageAuth      = "auth"
	stageSender    = "sender"
	stageRecipient = "recipient"
	stageData      = "data"
	stageEnd       = "end" // the letter was sent, and its answer is awaited
)

// DeliveryError is why a letter was not taken: what stands behind the fault that Send
// returns.
type DeliveryError struct {
	// Stage is how far it came.
	Stage string
	// Code is the server's answer, as 550; 0 when there was none.
	Code int
	// Text says what went wrong without an answer. It is of this machine, or of the
	// server's certificate; never of the letter.
	Text string
}

// Error implements error.
func (f *DeliveryError) Error() string {
	if f.Code != 0 {
		return "stage " + f.Stage + ": the server answered " + strconv.Itoa(f.Code)
	}
	return "stage " + f.Stage + ": " + f.Text
}

// Permanent says whether the server refused this letter for good: trying again
// cannot help.
func (f *DeliveryError) Permanent() bool {
	switch f.Stage {
	case stageSender, stageRecipient, stageData, stageEnd:
		return f.Code >= 500 && f.Code <= 599
	}
	return false
}

// failed is the fault for an error at a stage.
func failed(ctx context.Context, stage string, err error) error {
	failure := &DeliveryError{Stage: stage}
	if answer, ok := errors.AsType[*smtp.SMTPError](err); ok {
		failure.Code = answer.Code
	} else {
		failure.Text = textOf(ctx, stage, err)
	}
	if stage == stageEnd && failure.Code == 0 {
		return fault.New(fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN, "the mail server may have taken the message").Because(failure)
	}
	return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "the mail server did not take the message").Because(failure)
}

var (
	errNoSTARTTLS = errors.New("no STARTTLS")
	errNoAuth     = errors.New("no AUTH")
	errNoUTF8     = errors.New("no SMTPUTF8")
)

// textOf says what went wrong in words of this program and of this machine.
func textOf(ctx context.Context, stage string, err error) string {
	var certificate *tls.CertificateVerificationError
	var network *net.OpError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "out of time"
	case ctx.Err() != nil:
		return "cancelled"
	case errors.Is(err, errTooMuch):
		return "the server says too much"
	case errors.Is(err, errNoSTARTTLS):
		return "the server offers no STARTTLS, and nothing is sent without"
	case errors.Is(err, errNoAuth):
		return "the server offers no sign-in by PLAIN or LOGIN"
	case errors.Is(err, errNoUTF8):
		return "the server does not know SMTPUTF8, which the address needs"
	case errors.As(err, &certificate):
		return fmt.Sprintf("certificate: %.200q", certificate.Err.Error())
	case stage == stageConnect && errors.As(err, &network):
		return fmt.Sprintf("%.200q", network.Error())
	}
	return "the connection broke, or the server does not speak SMTP"
}
