/* Starts Swagger UI with the documents in the data attribute of its element. */
"use strict";

const overrides = (system) => ({
  components: {
    // The logo has a style element, which the Content-Security-Policy blocks.
    Logo: () => null,
    // Swagger UI has no component for this format and would log a warning.
    JsonSchema_string_uuid: (props) =>
      system.React.createElement(system.getComponent("JsonSchema_string"), props),
  },
});

document.addEventListener("DOMContentLoaded", () => {
  const element = document.getElementById("swagger-ui");
  SwaggerUIBundle({
    domNode: element,
    urls: JSON.parse(element.dataset.documents),
    layout: "StandaloneLayout",
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [overrides],
    deepLinking: true,
    displayRequestDuration: true,
    persistAuthorization: true,
    tryItOutEnabled: true,
    // The validator is on another host.
    validatorUrl: null,
  });
});
