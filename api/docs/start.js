"use strict";

SwaggerUIBundle({
  url: "/api/v1/openapi-3.0.json",
  dom_id: "#swagger-ui",
  displayRequestDuration: true,
  // Its default is a service on the Internet that is told the description's address.
  validatorUrl: null,
});
