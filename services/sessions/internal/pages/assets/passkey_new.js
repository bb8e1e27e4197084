'use strict';
// Makes a passkey: asks the browser for one by the options in the page, puts the answer
// into the page's form and sends that.
(() => {
  const form = document.getElementById('passkey-form');
  const button = document.getElementById(form.dataset.button);
  const problem = document.getElementById('passkey-problem');
  const say = (text) => {
    problem.textContent = text;
    problem.hidden = text === '';
  };
  if (!window.PublicKeyCredential || !navigator.credentials) {
    say(form.dataset.unsupported);
    return;
  }
  button.hidden = false;

  const toBytes = (text) => {
    const binary = atob(text.replace(/-/g, '+').replace(/_/g, '/'));
    return Uint8Array.from(binary, (c) => c.charCodeAt(0));
  };
  const toText = (buffer) => {
    const binary = Array.from(new Uint8Array(buffer), (b) => String.fromCharCode(b)).join('');
    return btoa(binary).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  };

  const options = () => {
    const parsed = JSON.parse(form.dataset.passkey);
    const json = parsed.publicKey || parsed;
    if (PublicKeyCredential.parseCreationOptionsFromJSON) {
      return PublicKeyCredential.parseCreationOptionsFromJSON(json);
    }
    return {
      ...json,
      challenge: toBytes(json.challenge),
      user: { ...json.user, id: toBytes(json.user.id) },
      excludeCredentials: (json.excludeCredentials || []).map((c) => ({ ...c, id: toBytes(c.id) })),
    };
  };

  const toJSON = (credential) => {
    if (credential.toJSON) {
      return credential.toJSON();
    }
    const { clientDataJSON, attestationObject } = credential.response;
    const transports = credential.response.getTransports ? credential.response.getTransports() : [];
    return {
      id: credential.id,
      rawId: toText(credential.rawId),
      type: credential.type,
      authenticatorAttachment: credential.authenticatorAttachment,
      clientExtensionResults: credential.getClientExtensionResults(),
      response: { clientDataJSON: toText(clientDataJSON), attestationObject: toText(attestationObject), transports },
    };
  };

  button.addEventListener('click', async () => {
    say('');
    button.disabled = true;
    try {
      const credential = await navigator.credentials.create({ publicKey: options() });
      form.querySelector('input[name=passkey]').value = JSON.stringify(toJSON(credential));
      HTMLFormElement.prototype.submit.call(form);
    } catch (error) {
      button.disabled = false;
      say(error.name === 'InvalidStateError' ? form.dataset.known : form.dataset.failed);
    }
  });
})();
