// Package breakdown packs the rows of a day of the ledger by columns, and adds reports up
// from them: those by what the daily rollup has not, such as an end user or a tag.
//
// A breakdown has all of its day: reports by any of its columns, or by any two of them, read
// only the columns that they need. It holds as long as the day has as many rows as it had
// when it was packed, for rows are only ever added; other days are read row by row. Both
// databases keep breakdowns in the same form and lend this package a snapshot.
package breakdown
