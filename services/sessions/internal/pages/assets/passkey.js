'use strict';
// Signs in with a passkey: asks the browser for one, puts the answer into the page's form
// and sends that. Where browsers can, the passkey is also offered in the address field.
(() => {
  const form = document.getElementById('passkey-form');
  const button = document.getElementById(form.dataset.button);
  const problem = document.getElementById('passkey-problem');
  if (!window.PublicKeyCredential || !navigator.credentials) {
    problem.textContent = form.dataset.unsupported;
    problem.hidden = false;
    return;
  }
  form.hidden = false;
  button.hidden = false;

  const toBytes = (text) => {
    const binary = atob(text.replace(/-/g, '+').replace(/_/g, '/'));
    return Uint8Array.from(binary, (c) => c.charCodeAt(0));
  };
  const toText = (buffer) => {
    const binary = Array.from(new Uint8Array(buffer), (b) => String.fromCharCode(b)).join('');
    return btoa(binary).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  };

  // The options are in the page where it is known who it is, and else asked for: a page
  // that is only looked at begins nothing.
  const fetched = async (signal) => {
    const body = new URLSearchParams();
    const request = form.querySelector('input[name=request]');
    if (request) {
      body.set('request', request.value);
    }
    const answer = await fetch(form.dataset.options, { method: 'POST', body, signal });
    if (!answer.ok) {
      throw new Error('there are no passkeys');
    }
    return answer.json();
  };

  const options = async (signal) => {
    const parsed = form.dataset.passkey ? JSON.parse(form.dataset.passkey) : await fetched(signal);
    const json = parsed.publicKey || parsed;
    if (PublicKeyCredential.parseRequestOptionsFromJSON) {
      return PublicKeyCredential.parseRequestOptionsFromJSON(json);
    }
    const allowed = (json.allowCredentials || []).map((c) => ({ ...c, id: toBytes(c.id) }));
    return { ...json, challenge: toBytes(json.challenge), allowCredentials: allowed };
  };

  const toJSON = (credential) => {
    if (credential.toJSON) {
      return credential.toJSON();
    }
    const { clientDataJSON, authenticatorData, signature, userHandle } = credential.response;
    const response = {
      clientDataJSON: toText(clientDataJSON),
      authenticatorData: toText(authenticatorData),
      signature: toText(signature),
    };
    if (userHandle) {
      response.userHandle = toText(userHandle);
    }
    return {
      id: credential.id,
      rawId: toText(credential.rawId),
      type: credential.type,
      authenticatorAttachment: credential.authenticatorAttachment,
      clientExtensionResults: credential.getClientExtensionResults(),
      response,
    };
  };

  // One request at a time: a click ends the one that waits in the address field, and so
  // does another form of the page, whose answer the options of a passkey must not change.
  let waiting = null;
  let chosen = false;
  const ask = async (mediation) => {
    if (waiting) {
      waiting.abort();
    }
    waiting = new AbortController();
    const { signal } = waiting;
    const request = { publicKey: await options(signal), signal };
    if (mediation) {
      request.mediation = mediation;
    }
    const credential = await navigator.credentials.get(request);
    if (chosen || signal.aborted) {
      return;
    }
    chosen = true;
    // By its type: the button's id may be the field's name.
    form.querySelector('input[name=passkey]').value = JSON.stringify(toJSON(credential));
    HTMLFormElement.prototype.submit.call(form);
  };

  const offer = async () => {
    if (form.dataset.offer !== 'yes' || !PublicKeyCredential.isConditionalMediationAvailable) {
      return;
    }
    try {
      if (await PublicKeyCredential.isConditionalMediationAvailable() && !waiting) {
        await ask('conditional');
      }
    } catch {
      // Nobody asked for it: the button is still there.
    }
  };

  button.addEventListener('click', async () => {
    problem.hidden = true;
    problem.textContent = '';
    try {
      await ask();
    } catch (error) {
      if (error.name === 'AbortError') {
        return;
      }
      problem.textContent = form.dataset.failed;
      problem.hidden = false;
    }
  });
  document.addEventListener('submit', () => waiting && waiting.abort());
  offer();
})();
