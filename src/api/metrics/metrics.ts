import type { Metric } from 'prom-client'
import type { Endpoint } from '../../http/endpoint.ts'

/** One value of a metric. */
export interface MetricSample {
  readonly value: number
  readonly labels?: Readonly<Record<string, string | number>>
  /** What the sample's name has behind the metric's: `_sum` and the like. */
  readonly suffix?: string
}

/** A metric that is read when somebody asks: what counts, counts in plain numbers. */
export interface MetricFamily {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary'
  read(): readonly MetricSample[]
}

/** Answers with all metrics in Prometheus' text format. Synapse: docs/metrics-howto.md. */
export function metricsEndpoint(families: readonly MetricFamily[]): Endpoint<unknown> {
  let writing: Promise<() => Promise<string>> | undefined
  return {
    operationId: 'metrics',
    method: 'GET',
    paths: ['/_synapse/metrics', '/metrics'],
    resource: 'metrics',
    group: 'server',
    async run() {
      writing ??= openWriter(families)
      const body = await (await writing)()
      return { status: 200, contentType: 'text/plain; version=0.0.4; charset=utf-8', body }
    },
  }
}

/** The library is loaded when metrics are first asked for: most processes never are. */
async function openWriter(families: readonly MetricFamily[]): Promise<() => Promise<string>> {
  const { Registry } = await import('prom-client')
  const registry = new Registry()
  for (const { name, help, type, read } of families) {
    const get = (): Promise<unknown> =>
      Promise.resolve({
        name,
        help,
        type,
        values: read().map(({ value, labels = {}, suffix = '' }) => ({ value, labels, metricName: name + suffix })),
      })
    // All that the registry asks of a metric is its name and what it has now.
    registry.registerMetric({ name, get } as unknown as Metric)
  }
  return () => registry.metrics()
}
