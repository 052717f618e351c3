/** Every refusal over HTTP has one form: problem+json with godwit's code, also when the framework or Node refuses. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

import type { FastifyReply, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";

import type { Problem } from "../api/host.ts";
import { CodedError, toCodedError } from "../std/errors.ts";

const TYPE = "application/problem+json";

export function toProblem(error: CodedError): Problem {
  const { delivered: _, ...details } = error.details;
  return {
    type: `urn:godwit:error:${error.code}`,
    title: error.code,
    status: error.status,
    code: error.code,
    detail: error.message,
    next: error.next,
    details,
  };
}

export function fromFastify(error: unknown): CodedError {
  if (hasZodFastifySchemaValidationErrors(error)) {
    const problems = error.validation.map(
      (each) =>
        `${each.instancePath.replaceAll("/", ".").replace(/^\./, "") || "body"}: ${each.message ?? "invalid"}`,
    );
    return new CodedError("REQUEST_INVALID", { problem: problems.join("; ") });
  }
  const status = (error as { statusCode?: number }).statusCode;
  if (!(error instanceof CodedError) && status !== undefined && status >= 400 && status < 500) {
    return new CodedError("REQUEST_INVALID", { problem: (error as Error).message });
  }
  return toCodedError(error);
}

export function sendProblem(request: FastifyRequest, reply: FastifyReply, coded: CodedError): void {
  request.refusal = coded.code;
  if (coded.status === 401) void reply.header("www-authenticate", 'Bearer realm="godwit"');
  void reply.code(coded.status).type(TYPE).serializer(JSON.stringify).send(toProblem(coded));
}

/** What never becomes a request: broken HTTP, and expectations nobody meets. */
export function answerBrokenRequests(server: Server): void {
  server.removeAllListeners("clientError");
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
    const text = bodyOf(`this is not HTTP as it should be (${error.code ?? "unknown"})`);
    socket.end(
      `HTTP/1.1 400 Bad Request\r\ncontent-type: ${TYPE}\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
    );
  });
  server.on("checkExpectation", (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(400, { "content-type": TYPE, connection: "close" });
    response.end(bodyOf("Expect: only 100-continue is known"));
  });
}

const bodyOf = (problem: string): string =>
  JSON.stringify(toProblem(new CodedError("REQUEST_INVALID", { problem })));
