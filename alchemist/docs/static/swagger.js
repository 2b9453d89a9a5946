/* Opens Swagger UI on the documents that the page names. */
"use strict";

const quiet = (system) => ({
  components: {
    // The logo brings a style element, which the policy of the page refuses.
    Logo: () => null,
    // Without it a list of keys is edited all the same, with a warning in the console.
    JsonSchema_string_uuid: (props) =>
      system.React.createElement(system.getComponent("JsonSchema_string"), props),
  },
});

document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("swagger-ui");
  SwaggerUIBundle({
    domNode: place,
    urls: JSON.parse(place.dataset.documents),
    layout: "StandaloneLayout",
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [quiet],
    deepLinking: true,
    displayRequestDuration: true,
    persistAuthorization: true,
    tryItOutEnabled: true,
    // The public validator would be another host.
    validatorUrl: null,
  });
});
