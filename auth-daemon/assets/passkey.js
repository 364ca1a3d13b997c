// Asks the browser for a passkey and puts its answer into the form. Without this file the page
// works all the same: the form stays hidden, and codes are typed.
"use strict";
(() => {
  const form = document.getElementById("passkey");
  if (!form || !window.PublicKeyCredential || !navigator.credentials) return;
  const error = document.getElementById("passkey-error");
  const button = form.querySelector("button");
  const answer = form.elements.namedItem("credential");

  const bytes = (text) => {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, (char) => char.charCodeAt(0));
  };
  const text = (buffer) => {
    let plain = "";
    for (const byte of new Uint8Array(buffer)) plain += String.fromCharCode(byte);
    return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };
  const described = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  const create = async (options) => {
    options.challenge = bytes(options.challenge);
    options.user.id = bytes(options.user.id);
    options.excludeCredentials = described(options.excludeCredentials);
    const made = await navigator.credentials.create({ publicKey: options });
    const response = {
      attestationObject: text(made.response.attestationObject),
      clientDataJSON: text(made.response.clientDataJSON),
    };
    if (made.response.getTransports) response.transports = made.response.getTransports();
    return { made, response };
  };
  const get = async (options) => {
    options.challenge = bytes(options.challenge);
    options.allowCredentials = described(options.allowCredentials);
    const made = await navigator.credentials.get({ publicKey: options });
    const handle = made.response.userHandle;
    const response = {
      authenticatorData: text(made.response.authenticatorData),
      clientDataJSON: text(made.response.clientDataJSON),
      signature: text(made.response.signature),
      userHandle: handle && handle.byteLength > 0 ? text(handle) : null,
    };
    return { made, response };
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    error.hidden = true;
    button.disabled = true;
    try {
      const options = JSON.parse(form.dataset.options).publicKey;
      const ceremony = form.dataset.ceremony === "create" ? create : get;
      const { made, response } = await ceremony(options);
      answer.value = JSON.stringify({
        id: made.id,
        rawId: text(made.rawId),
        type: made.type,
        response,
        clientExtensionResults: {},
      });
      form.submit();
    } catch {
      error.hidden = false;
      button.disabled = false;
    }
  });
  form.hidden = false;
})();
