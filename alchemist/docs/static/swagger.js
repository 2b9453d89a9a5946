/* Starts Swagger UI with the documents in the data attribute of its element. */
"use strict";

/* One click must not change or delete a row: without a required If-Match, the keys in the path are
   not prefilled. Operations that only create a row have a 201. */
const clearKeysOfChanges = (document) => {
  for (const operations of Object.values(document.paths ?? {})) {
    for (const [method, { parameters = [], responses = {} }] of Object.entries(operations)) {
      const needsETag = parameters.some((each) => each.name === "If-Match" && each.required);
      if (["post", "patch", "delete"].includes(method) && !("201" in responses) && !needsETag) {
        parameters.filter((each) => each.in === "path").forEach((each) => delete each.example);
      }
    }
  }
  return document;
};

/* Generators take the media types in `content` for one type; the others are in an extension. */
const showOtherContent = (document) => {
  for (const operations of Object.values(document.paths ?? {})) {
    for (const { responses = {} } of Object.values(operations)) {
      for (const response of Object.values(responses)) {
        Object.assign(response.content ?? {}, response["x-other-content"]);
      }
    }
  }
  return document;
};

const overrides = (system) => ({
  statePlugins: {
    spec: {
      wrapActions: {
        updateJsonSpec: (update) => (document) => update(showOtherContent(clearKeysOfChanges(document))),
      },
    },
  },
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
