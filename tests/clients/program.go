// A client of the service, made by openapi-generator. Arguments: URL, token.
package main

import (
	"alchemist"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

var nextLink = regexp.MustCompile(`<([^>]+)>; rel="next"`)

func check(condition bool, message string) {
	if !condition {
		fmt.Fprintln(os.Stderr, message)
		os.Exit(1)
	}
	fmt.Println(message)
}

// must returns the value of an answer that is expected to be a success.
func must[T any](value T, response *http.Response, err error) T {
	if err != nil {
		panic(fmt.Sprint(err, response))
	}
	return value
}

// problemOf returns the problem of an answer that is expected to be an error.
func problemOf(err error) alchemist.Problem {
	return err.(*alchemist.GenericOpenAPIError).Model().(alchemist.Problem)
}

func nextCursor(response *http.Response) string {
	match := nextLink.FindStringSubmatch(response.Header.Get("Link"))
	if match == nil {
		return ""
	}
	link, _ := url.Parse(match[1])
	return link.Query().Get("cursor")
}

func main() {
	configuration := alchemist.NewConfiguration()
	configuration.Servers = alchemist.ServerConfigurations{{URL: os.Args[1]}}
	configuration.AddDefaultHeader("Authorization", "Bearer "+os.Args[2])
	client := alchemist.NewAPIClient(configuration)
	ctx := context.Background()
	ingredients, potions := client.IngredientsAPI, client.PotionsAPI

	key := fmt.Sprintf("key-%d", time.Now().UnixNano())
	body := *alchemist.NewIngredientCreate("Rue " + key)
	create := ingredients.CreateIngredient(ctx).IngredientCreate(body)
	rue := must(create.IdempotencyKey(key).Execute())
	again := must(create.IdempotencyKey(key).Execute())
	check(again.Pk == rue.Pk, "a repeated POST with its key has one effect")

	must(create.Execute())
	must(create.Execute())
	rows, pages, cursor := 0, 0, ""
	for pages == 0 || cursor != "" {
		list := ingredients.ListIngredients(ctx).Name(body.Name).Limit(2)
		if cursor != "" {
			list = list.Cursor(cursor)
		}
		page, response, err := list.Execute()
		rows += len(must(page, response, err))
		cursor = nextCursor(response)
		pages++
	}
	check(pages == 2 && rows == 3, "a filtered list has 3 rows on 2 pages")

	honey := must(ingredients.CreateIngredient(ctx).IngredientCreate(*alchemist.NewIngredientCreate("Honey")).Execute())
	entry := alchemist.NewPotionIngredientCreate(honey.Pk)
	entry.SetAmount("2.5")
	recipe := []alchemist.PotionCreateIngredientsInner{
		alchemist.StringAsPotionCreateIngredientsInner(&rue.Pk),
		alchemist.PotionIngredientCreateAsPotionCreateIngredientsInner(entry),
	}
	potion, created, err := potions.CreatePotion(ctx).PotionCreate(*alchemist.NewPotionCreate("Slow tea", recipe)).Execute()
	must(potion, created, err)
	changes := alchemist.NewPotionUpdate()
	changes.SetPk(potion.Pk)
	changes.SetCreatedAt(potion.CreatedAt)
	changes.SetDescription("For the evening.")
	etag := created.Header.Get("ETag")
	patched, changed, err := potions.UpdatePotion(ctx, potion.Pk).IfMatch(etag).PotionUpdate(*changes).Execute()
	must(patched, changed, err)
	check(*patched.Description.Get() == "For the evening.",
		"a PATCH with the ETag changes the row, and may send back its read-only fields")

	_, _, err = potions.UpdatePotion(ctx, potion.Pk).IfMatch(etag).PotionUpdate(*changes).Execute()
	stale := problemOf(err)
	check(stale.Code == "precondition-failed" && *stale.Current["description"] == "For the evening.",
		"a 412 has the current row")

	_, read, err := ingredients.GetIngredient(ctx, rue.Pk).Execute()
	must(rue, read, err)
	_, err = ingredients.DeleteIngredient(ctx, rue.Pk).IfMatch(read.Header.Get("ETag")).Execute()
	conflict := problemOf(err)
	check(conflict.Status == 409 && conflict.Code == "in-use", "a 409 has a code")

	deleted, err := potions.DeletePotion(ctx, potion.Pk).IfMatch(changed.Header.Get("ETag")).Execute()
	check(err == nil && deleted.StatusCode == 204, "a DELETE with the new ETag is 204")

	store := must(client.StoresAPI.CreateStore(ctx).StoreCreate(alchemist.StoreCreate{
		Name: "The Crooked Ladle", Street: "7 Tallow Lane", Zipcode: "1050",
		City: "Brassel", Country: "Belgium", Currency: alchemist.CURRENCY_EUR,
	}).Execute())
	product := must(client.ProductsAPI.CreateProduct(ctx).ProductCreate(
		*alchemist.NewProductCreate(store.Pk, "A pot", "3.35")).Execute())
	item := *alchemist.NewOrderItemCreate(product.Pk, 3)
	cart := *alchemist.NewOrderCreate([]alchemist.OrderItemCreate{item})
	order := must(client.OrdersAPI.CreateOrder(ctx).OrderCreate(cart).IdempotencyKey("order-" + key).Execute())
	check(order.Totals[0].Total == "10.05", "an order is placed, and its total is exact")
	paid := must(client.OrdersAPI.PayOrder(ctx, order.Pk).Execute())
	check(paid.Status == "paid", "an order is paid")
	_, _, err = client.OrdersAPI.PayOrder(ctx, order.Pk).Execute()
	twice := problemOf(err)
	check(twice.Code == "wrong-status" && strings.Contains(strings.Join(twice.AllowedTransitions, " "), "cancel"),
		"a 409 has the allowed transitions")
}
