import type { SmtpSink } from './smtp-sink.ts'

/** Options that make a server send its mails to the sink, and verify addresses without limits. */
export function mailConfig(sink: SmtpSink, email: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    email: {
      smtp_host: '127.0.0.1',
      smtp_port: sink.port,
      enable_tls: false,
      notif_from: '%(app)s <no-reply@test.example>',
      ...email,
    },
    rc_3pid_validation: { per_second: 9999, burst_count: 9999 },
  }
}
